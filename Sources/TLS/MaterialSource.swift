import Synchronization

/// Keeps what was read of some settings' files, and reads them again when they have changed, so that certificates, keys,
/// authorities and revocations are exchanged without a restart.
///
/// Each connection looks at the files' times of change, which takes a few microseconds. When what is there is of no use,
/// half written for example, what was read before stays in use and `complain` hears why, once for each state of the files.
final class MaterialSource: Sendable {
    private struct State {
        var materials: Materials
        var stamps: [FileStamp?]
        var areSettled: Bool
        var complaint: String?
    }

    private let settings: TLSSettings
    private let role: Materials.Role
    private let paths: [String]
    private let state: Mutex<State>
    private let complain: @Sendable (String) -> Void

    init(
        _ settings: TLSSettings, role: Materials.Role, complain: @escaping @Sendable (String) -> Void
    ) throws(TLSError) {
        self.settings = settings
        self.role = role
        self.complain = complain
        let files = [
            settings.identity.certificateFile, settings.identity.keyFile, settings.dialling.certificateFile,
            settings.dialling.keyFile, settings.trustedCAFile, settings.revocationListFile,
        ]
        paths = files.filter { !$0.isEmpty }
        let stamps = paths.map { FileStamp($0) }
        let materials = try Materials(settings, role: role)
        state = Mutex(State(materials: materials, stamps: stamps, areSettled: Self.areSettled(stamps)))
    }

    private static func areSettled(_ stamps: [FileStamp?]) -> Bool {
        stamps.allSatisfy { $0?.isSettled ?? true }
    }

    /// What the files hold now.
    func current() -> Materials {
        let (materials, complaint) = state.withLock { state -> (Materials, String?) in
            let stamps = paths.map { FileStamp($0) }
            if stamps == state.stamps, state.areSettled { return (state.materials, nil) }
            // The stamps are older than what is read, so a change in between is seen the next time.
            let isNew = stamps != state.stamps
            state.stamps = stamps
            state.areSettled = Self.areSettled(stamps)
            do throws(TLSError) {
                state.materials = try Materials(settings, role: role)
                state.complaint = nil
                return (state.materials, nil)
            } catch {
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
