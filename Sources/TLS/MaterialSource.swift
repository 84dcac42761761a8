import NIOCore
import Synchronization

/// Keeps what was read of some settings' files, and reads them again when they have changed, so that certificates, keys,
/// authorities and revocations are exchanged without a restart.
///
/// Each connection looks at the files' times of change, which takes a few microseconds. When what is there is of no use,
/// half written for example, what was read before stays in use and `complain` hears why, once for each state of the files.
/// They are tried again after a while though they look the same: that they cannot be read may be no fault of theirs.
final class MaterialSource: Sendable {
    typealias Load = @Sendable (TLSSettings, Materials.Role) throws(TLSError) -> Materials

    private struct State {
        var materials: Materials
        var stamps: [FileStamp?]
        var areSettled: Bool
        var complaint: String?
        /// When files of no use are tried again.
        var retry = NIODeadline.distantFuture
    }

    /// Seldom enough that files which stay bad cost nothing to speak of.
    private static let retryInterval = TimeAmount.seconds(1)

    private let settings: TLSSettings
    private let role: Materials.Role
    private let paths: [String]
    private let state: Mutex<State>
    private let complain: @Sendable (String) -> Void
    private let load: Load

    /// - Parameter load: reads the files.
    init(
        _ settings: TLSSettings, role: Materials.Role,
        load: @escaping Load = { (settings, role) throws(TLSError) in try Materials(settings, role: role) },
        complain: @escaping @Sendable (String) -> Void
    ) throws(TLSError) {
        self.settings = settings
        self.role = role
        self.load = load
        self.complain = complain
        let files = [
            settings.identity.certificateFile, settings.identity.keyFile, settings.dialling.certificateFile,
            settings.dialling.keyFile, settings.trustedCAFile, settings.revocationListFile,
        ]
        paths = files.filter { !$0.isEmpty }
        let stamps = paths.map { FileStamp($0) }
        let materials = try load(settings, role)
        state = Mutex(State(materials: materials, stamps: stamps, areSettled: Self.areSettled(stamps)))
    }

    private static func areSettled(_ stamps: [FileStamp?]) -> Bool {
        stamps.allSatisfy { $0?.isSettled ?? true }
    }

    /// What the files hold now.
    func current(at now: NIODeadline = .now()) -> Materials {
        let (materials, complaint) = state.withLock { state -> (Materials, String?) in
            let stamps = paths.map { FileStamp($0) }
            if stamps == state.stamps, state.areSettled, now < state.retry { return (state.materials, nil) }
            // The stamps are older than what is read, so a change in between is seen the next time.
            let isNew = stamps != state.stamps
            state.stamps = stamps
            state.areSettled = Self.areSettled(stamps)
            do throws(TLSError) {
                state.materials = try load(settings, role)
                state.complaint = nil
                state.retry = .distantFuture
                return (state.materials, nil)
            } catch {
                state.retry = now + Self.retryInterval
                let text = error.description
                let complaint = isNew || text != state.complaint ? text : nil
                state.complaint = text
                return (state.materials, complaint)
            }
        }
        if let complaint { complain(complaint) }
        return materials
    }
}
