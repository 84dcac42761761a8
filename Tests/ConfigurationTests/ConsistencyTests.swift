import Configuration
import Testing

/// What the flags say of corruption checks and lease checkpoints, by each of their names.
@Suite struct ConsistencyTests {
    private func parse(_ arguments: [String]) throws -> MemberConfiguration {
        guard case .run(let configuration) = try MemberConfiguration.parse(arguments: arguments, environment: [:])
        else {
            throw InvalidConfiguration("not a run")
        }
        return configuration
    }

    private static func checks(
        initial: Bool = false, period: Int64 = 0, compactions: Bool = false, compactionsPeriod: Int64 = 60_000
    ) -> CorruptionChecks {
        CorruptionChecks(
            initial: initial, periodMilliseconds: period, compactions: compactions,
            compactionsMilliseconds: compactionsPeriod)
    }

    @Test(
        arguments: [
            ([], checks()),
            (["--experimental-initial-corrupt-check"], checks(initial: true)),
            (["--feature-gates=InitialCorruptCheck=true"], checks(initial: true)),
            (["--corrupt-check-time=1h"], checks(period: 3_600_000)),
            (["--experimental-corrupt-check-time=250ms"], checks(period: 250)),
            (["--experimental-compact-hash-check-enabled"], checks(compactions: true)),
            (
                ["--feature-gates=CompactHashCheck=true,LeaseCheckpoint=true", "--compact-hash-check-time=2s"],
                checks(compactions: true, compactionsPeriod: 2000)
            ),
            (["--experimental-compact-hash-check-time=3s"], checks(compactionsPeriod: 3000)),
        ] as [([String], CorruptionChecks)])
    func corruptionChecks(arguments: [String], expected: CorruptionChecks) throws {
        #expect(try parse(arguments).corruptionChecks == expected)
    }

    @Test(
        arguments: [
            ([], nil, false),
            (["--experimental-enable-lease-checkpoint"], true, false),
            (["--experimental-enable-lease-checkpoint=false"], false, false),
            (["--feature-gates=LeaseCheckpoint=false"], false, false),
            (["--experimental-enable-lease-checkpoint-persist"], nil, true),
        ] as [([String], Bool?, Bool)])
    func leaseCheckpoints(arguments: [String], recorded: Bool?, persisted: Bool) throws {
        #expect(try parse(arguments).leaseCheckpoints == LeaseCheckpoints(recorded: recorded, persisted: persisted))
    }

    @Test(
        arguments: [
            (["--compact-hash-check-time=0s"], "--compact-hash-check-time must be >0 (set to 0s)"),
            (
                ["--feature-gates=Nonsense=true"],
                "invalid value \"Nonsense=true\" for flag -feature-gates: unrecognized feature gate: Nonsense"
            ),
            (
                ["--feature-gates=CompactHashCheck"],
                "invalid value \"CompactHashCheck\" for flag -feature-gates: missing bool value for CompactHashCheck"
            ),
            (
                ["--feature-gates=CompactHashCheck=2"],
                "invalid value \"CompactHashCheck=2\" for flag -feature-gates: invalid value of CompactHashCheck=2, "
                    + "err: strconv.ParseBool: parsing \"2\": invalid syntax"
            ),
            (
                ["--feature-gates=CompactHashCheck=true", "--experimental-compact-hash-check-enabled=false"],
                "cannot specify both flags: --experimental-compact-hash-check-enabled=false and "
                    + "--feature-gates=CompactHashCheck=true at the same time, please just use "
                    + "--feature-gates=CompactHashCheck=true"
            ),
            (
                ["--experimental-enable-lease-checkpoint=false", "--experimental-enable-lease-checkpoint-persist"],
                "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint"
            ),
        ])
    func whatContradictsItselfIsRefused(arguments: [String], message: String) {
        #expect {
            try parse(arguments)
        } throws: { error in
            "\(error)" == message
        }
    }
}
