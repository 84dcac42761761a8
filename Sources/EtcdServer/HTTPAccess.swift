import Auth
import Configuration
import GRPC
import JSONGateway
import JSONMapping

/// Which HTTP requests are answered at all, and for pages of which origins.
struct HTTPAccess: Sendable {
    private let hosts: Set<String>
    private let origins: Set<String>
    private let allowsAllHosts: Bool
    private let allowsAllOrigins: Bool
    /// Says whether users are told apart, for requests whose certificate names one; nil when none can.
    private let auth: AuthPublisher?

    /// - Parameter isSecure: whether the requests come by TLS, so that no page can have got here by a forged name.
    init(_ settings: HTTPSettings, isSecure: Bool, auth: AuthPublisher) {
        self.auth = isSecure && settings.servesGateway ? auth : nil
        hosts = Set(settings.allowedHosts)
        origins = Set(settings.allowedOrigins)
        allowsAllHosts = isSecure || hosts.isEmpty || hosts.contains("*")
        allowsAllOrigins = origins.isEmpty || origins.contains("*")
    }

    /// The answer to a request that goes no further; nil when it does.
    func refusal(of request: HTTPRequest) -> HTTPResponse? {
        if !allowsAllHosts {
            let host = Self.hostname(request.header("host") ?? "")
            guard hosts.contains(host) else {
                return .plain(status: 421, Self.unknownHost(host))
            }
        }
        // Who believes to be the certificate's user would be nobody to the gateway.
        if request.peerIdentity?.isEmpty == false, JSONGateway.owns(request.path), auth?.isEnabled == true {
            return .plain(
                status: 400,
                "CommonName of client sending a request against gateway will be ignored and not used as expected\n")
        }
        return request.method == "OPTIONS" ? HTTPResponse(status: 200) : nil
    }

    /// Marks the answer of `call` for browsers, whatever it will be.
    func mark(_ call: HTTPCall) {
        if !allowsAllHosts, !hosts.contains(Self.hostname(call.request.header("host") ?? "")) { return }
        let origin: String
        if allowsAllOrigins {
            origin = "*"
        } else if let asked = call.request.header("origin"), origins.contains(asked) {
            origin = asked
        } else {
            return
        }
        call.addHeader("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE")
        call.addHeader("Access-Control-Allow-Origin", origin)
        call.addHeader("Access-Control-Allow-Headers", "accept, content-type, authorization")
    }

    /// A `Host` without its port; as it is when there is none.
    static func hostname(_ host: String) -> String {
        if host.hasPrefix("[") {
            guard let end = host.firstIndex(of: "]"), host[end...].hasPrefix("]:") else { return host }
            return String(host[host.index(after: host.startIndex)..<end])
        }
        guard let colon = host.firstIndex(of: ":"), host.lastIndex(of: ":") == colon else { return host }
        return String(host[..<colon])
    }

    /// etcd's text.
    private static func unknownHost(_ host: String) -> String {
        """

        etcd received your request, but the Host header was unrecognized.

        To fix this, choose one of the following options:
        - Enable TLS, then any HTTPS request will be allowed.
        - Add the hostname you want to use to the whitelist in settings.
          - e.g. etcd --host-whitelist \(JSONString.quoted(host))

        This requirement has been added to help prevent "DNS Rebinding" attacks (CVE-2018-5702).


        """
    }
}

extension HTTPResponse {
    /// An answer of plain text that no browser takes for anything else, as Go's `http.Error` gives it.
    static func plain(
        status: Int, _ text: String, headers: [(name: String, value: String)] = []
    ) -> HTTPResponse {
        var response = HTTPResponse(status: status, text: text)
        response.headers = headers + response.headers + [("X-Content-Type-Options", "nosniff")]
        return response
    }
}
