import Bolt
import Synchronization

/// A frozen generation on its way into the file: one Bolt write transaction, to be run on any thread but the owner's.
public final class CommitJob: Sendable {
    /// The puts and deletes that the job writes.
    public let operations: Int

    let generation: FrozenGeneration
    private let current: CurrentDatabase
    private let path: String
    private let outcome = Mutex<CommitOutcome?>(nil)

    init(generation: FrozenGeneration, current: CurrentDatabase, path: String) {
        self.generation = generation
        self.current = current
        self.path = path
        operations = generation.operations
    }

    /// Writes the generation, synchronises the file and opens the read transaction that shows it. A generation that
    /// could not be written stays readable, and the member must stop: what follows could not be stored either.
    public func run() throws(BackendError) {
        let database = current.database
        do throws(BoltError) {
            let transaction = try database.beginWrite()
            do throws(BoltError) {
                try generation.write(to: transaction)
            } catch {
                transaction.rollback()
                throw error
            }
            try transaction.commit()
        } catch {
            throw .bolt(error)
        }
        let view = try FileView(database, path: path)
        let result = CommitOutcome(view: view, fileSize: database.fileSize, sizeInUse: database.sizeInUse)
        outcome.withLock { $0 = result }
    }

    /// What ``run()`` left, or nil when it has not succeeded.
    func takeOutcome() -> CommitOutcome? {
        outcome.withLock { outcome in
            defer { outcome = nil }
            return outcome
        }
    }
}

/// The file as a commit left it.
struct CommitOutcome: Sendable {
    let view: FileView
    let fileSize: Int
    let sizeInUse: Int
}

/// The 8 bytes of `value`, most significant first.
func bigEndianBytes(_ value: UInt64) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { [UInt8]($0) }
}
