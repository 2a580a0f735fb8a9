// send/tls_report.hpp: what became of TLS with a server, for who makes a domain's daily reports of it.                        RFC 8460
// Datagram one JSON object for each handshake, or for a policy that left a host out, as libtlsrpt's collectors read it: "d" the domain, "pr" its record,
//          "policies" with one policy; numbers are that library's. At most 32 KiB: patterns and strings beyond it are left out.
// Record   TXT of _smtp._tls.DOMAIN: none that begins with "v=TLSRPTv1;", or more than one: the domain wants no reports.
// Socket   a datagram socket in the file system, never waited for. What cannot be told is lost, and said once in five minutes.
#pragma once

#include "base/clock.hpp"
#include "observe/log.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::tls {
struct TlsaRecord;
}

namespace posthorn::send {

struct StsRules;

enum class TlsFault : std::uint16_t {
    starttls_not_supported = 201,
    certificate_host_mismatch = 202,
    certificate_not_trusted = 203,
    certificate_expired = 204,
    validation_failure = 205,
    sts_policy_fetch_error = 301,
    sts_policy_invalid = 302,
    sts_webpki_invalid = 303,
    tlsa_invalid = 304,
    dnssec_invalid = 305,
    dane_required = 306,
};
/// "starttls-not-supported".
std::string_view fault_name(TlsFault fault);
std::optional<TlsFault> fault_of(std::string_view name);
/// Of DANE, and not of what the server showed: RFC 8460 4.3.2.1.
bool is_of_records(TlsFault fault);

struct TlsReport {
    enum class Policy : std::uint8_t { tlsa = 1, sts = 2, none = 9 };
    std::string domain, record;
    Policy policy = Policy::none;
    std::string policy_domain;
    std::vector<std::string> strings, hosts;
    std::optional<TlsFault> fault;  // none: it was as the policy asks
    std::string from, host, hello, to, reason;  // of a fault: addresses, names of the server; empty: not known

    void use(const StsRules& sts);
    void use(const std::vector<tls::TlsaRecord>& records);
};

std::optional<std::string> report_record(std::span<const std::string> texts);
std::string to_datagram(const TlsReport& report);
/// "TLSRPT: status=failure, domain=example.test, receiving_mx=mx.example.test[192.0.2.2], failure_type=...": of the log.
std::string to_line(const TlsReport& report);

class TlsReports {
public:
    virtual ~TlsReports() = default;
    virtual void tell(const TlsReport& report) = 0;
};

class SocketReports final : public TlsReports {
public:
    SocketReports(std::string path, const Clock& clock, observe::Log log);
    SocketReports(SocketReports&&) = delete;
    ~SocketReports() override;
    void tell(const TlsReport& report) override;

private:
    std::string path_;
    const Clock& clock_;
    observe::Log log_;
    int socket_ = -1;
    std::optional<SteadyTime> said_;
};

}  // namespace posthorn::send
