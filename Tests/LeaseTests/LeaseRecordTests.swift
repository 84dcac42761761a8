import Lease
import Testing
import WireFormat

/// Records in bucket `lease`: read back as written, and damage named.
@Suite struct LeaseRecordTests {
    @Test func recordsAreReadAsTheyWereWritten() throws {
        for record in [
            LeaseRecord(id: 1, ttl: 2), LeaseRecord(id: Int64.min, ttl: 9_000_000_000, remainingTTL: 9_000_000_000),
            LeaseRecord(id: -1, ttl: -3), LeaseRecord(id: Int64.max, ttl: 0, remainingTTL: 1),
        ] {
            #expect(try LeaseRecord(key: LeaseRecord.key(of: record.id), value: record.encoded()) == record)
        }
    }

    @Test func damageIsNamed() {
        let key = LeaseRecord.key(of: 5)
        let cases: [([UInt8], [UInt8], LeaseRecordError.Reason)] = [
            ([1, 2, 3], [0x08, 5], .keyLength),
            ([], [], .keyLength),
            (key, [0x08], .malformed(WireError(.truncated, offset: 1))),
            (key, [0x0a, 0], .malformed(WireError(.unexpectedWireType(field: 1), offset: 1))),
            (key, [0x08, 6, 0x10, 10], .identifier(6)),
            (key, [0x10, 10], .identifier(0)),
            (LeaseRecord.key(of: 0), [0x10, 10], .identifier(0)),
            (key, LeaseRecord(id: 5, ttl: 9_000_000_001).encoded(), .ttl(9_000_000_001)),
            (key, LeaseRecord(id: 5, ttl: 9, remainingTTL: -1).encoded(), .remainingTTL(-1)),
            (key, LeaseRecord(id: 5, ttl: 9, remainingTTL: .max).encoded(), .remainingTTL(.max)),
        ]
        for (key, value, reason) in cases {
            let error = LeaseRecordError(key: key, reason: reason)
            #expect(throws: error) { try LeaseRecord(key: key, value: value) }
            #expect(error.description.hasPrefix("bucket lease, key "))
        }
    }

    @Test func restoreRefusesADamagedBucket() {
        let lessor = Lessor(configuration: LeaseConfiguration(), storage: MemoryLeaseStorage())
        let key = LeaseRecord.key(of: 5)
        let record = (key: key, value: LeaseRecord(id: 5, ttl: 9).encoded())
        #expect(throws: LeaseRecordError(key: key, reason: .duplicate)) { try lessor.restore([record, record]) }
        #expect(throws: LeaseRecordError.self) { try lessor.restore([(key: key, value: [0xff])]) }
    }

    @Test func restoreRaisesTTLsToTheMinimum() throws {
        let lessor = Lessor(configuration: LeaseConfiguration(), storage: MemoryLeaseStorage())
        try lessor.restore([(key: LeaseRecord.key(of: 5), value: LeaseRecord(id: 5, ttl: -1).encoded())])
        #expect(try lessor.timeToLive(id: 5, now: 0, keys: false).grantedTTL == 2)
    }

    /// Random bytes, and sound records with a byte changed: an error or a record within its bounds, never a trap.
    @Test(arguments: 1...20) func anyBytesAreReadOrRefused(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for _ in 0..<2000 {
            let id = Int64.random(in: 1...3, using: &random)
            var value = LeaseRecord(id: id, ttl: Int64(random.next() >> 32), remainingTTL: 7).encoded()
            if Bool.random(using: &random) {
                value[Int.random(in: 0..<value.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            } else {
                value = (0..<Int.random(in: 0..<20, using: &random)).map { _ in
                    UInt8.random(in: 0...255, using: &random)
                }
            }
            guard let record = try? LeaseRecord(key: LeaseRecord.key(of: id), value: value) else { continue }
            #expect(record.id == id && record.ttl <= Lessor.maximumTTL && record.remainingTTL >= 0)
        }
    }
}
