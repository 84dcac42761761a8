/// What this program was built from, for `--version`.
public enum BuildInformation {
    /// The source revision; builds from a checkout do not record one.
    public static let revision = "Not provided"

    /// The compiler's language version.
    public static var compiler: String {
        #if compiler(>=6.3)
            "6.3 or later"
        #else
            "6.2"
        #endif
    }

    /// The system and processor.
    public static var platform: String {
        #if arch(x86_64)
            "linux/amd64"
        #elseif arch(arm64)
            "linux/arm64"
        #else
            "linux"
        #endif
    }
}
