import Configuration
import Glibc
import Logging

/// Log lines as etcd's zap writes them, handed to a ``LogWriter``.
public struct LogLines: LogHandler {
    public var metadata: Logger.Metadata = [:]
    private let writer: LogWriter
    private let encoding: LogEncoding
    private let sampling: LogSampling?

    /// Lines of at least the level that ``LogLevel`` has, in this form, to this writer; all of them, or a sample.
    public init(writer: LogWriter, format: LoggingSettings.Format, sampling: LogSampling? = nil) {
        self.writer = writer
        self.sampling = sampling
        encoding = LogEncoding(format: format)
    }

    /// The one level of the process.
    public var logLevel: Logger.Level {
        get { LogLevel.current }
        set { LogLevel.set(newValue) }
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        let message = event.message.description
        if let sampling, !sampling.takes(event.level, message) { return }
        let file = event.file.split(separator: "/").suffix(2).joined(separator: "/")
        let fields = metadata.isEmpty ? event.metadata ?? [:] : metadata.merging(event.metadata ?? [:]) { $1 }
        let line = encoding.line(
            level: event.level, time: LogTime.now(), caller: "\(file):\(event.line)",
            message: message, fields: fields)
        writer.write(line, level: event.level)
        // Whoever says that is about to end the process.
        if event.level == .critical { writer.flush() }
    }
}

extension Logger {
    /// A log whose lines come in etcd's form.
    public static func member(
        writer: LogWriter, format: LoggingSettings.Format, sampling: LogSampling? = nil
    ) -> Logger {
        Logger(label: "etcd") { _ in LogLines(writer: writer, format: format, sampling: sampling) }
    }
}
