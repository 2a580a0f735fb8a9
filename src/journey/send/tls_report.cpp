#include "send/tls_report.hpp"

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "send/tls_policy.hpp"
#include "tls/dane.hpp"

#include <fmt/format.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace posthorn::send {

namespace {

constexpr std::chrono::minutes said_again{5};
constexpr std::size_t list_octets = 8 * 1024, word_octets = 1024;

struct FaultName {
    TlsFault fault;
    std::string_view name;
};
constexpr auto faults = std::to_array<FaultName>({{TlsFault::starttls_not_supported, "starttls-not-supported"},
                                                  {TlsFault::certificate_host_mismatch, "certificate-host-mismatch"},
                                                  {TlsFault::certificate_not_trusted, "certificate-not-trusted"},
                                                  {TlsFault::certificate_expired, "certificate-expired"},
                                                  {TlsFault::validation_failure, "validation-failure"},
                                                  {TlsFault::sts_policy_fetch_error, "sts-policy-fetch-error"},
                                                  {TlsFault::sts_policy_invalid, "sts-policy-invalid"},
                                                  {TlsFault::sts_webpki_invalid, "sts-webpki-invalid"},
                                                  {TlsFault::tlsa_invalid, "tlsa-invalid"},
                                                  {TlsFault::dnssec_invalid, "dnssec-invalid"},
                                                  {TlsFault::dane_required, "dane-required"}});

std::string list_of(std::string_view name, const std::vector<std::string>& values)
{
    std::string text;
    for (const std::string& value : values) {
        if (text.size() + value.size() > list_octets)
            break;
        text += (text.empty() ? "" : ",") + json_text(value);
    }
    return text.empty() ? text : fmt::format(",\"{}\":[{}]", name, text);
}

std::string detail_of(std::string_view name, std::string_view value)
{
    return value.empty() ? std::string() : fmt::format(",\"{}\":{}", name, json_text(value.substr(0, word_octets)));
}

}  // namespace

std::string_view fault_name(TlsFault fault)
{
    const auto at = std::ranges::find(faults, fault, &FaultName::fault);
    return at != faults.end() ? at->name : "validation-failure";
}

std::optional<TlsFault> fault_of(std::string_view name)
{
    const auto at = std::ranges::find(faults, name, &FaultName::name);
    return at != faults.end() ? std::optional(at->fault) : std::nullopt;
}

bool is_of_records(TlsFault fault)
{
    return fault == TlsFault::tlsa_invalid || fault == TlsFault::dnssec_invalid || fault == TlsFault::dane_required;
}

void TlsReport::use(const StsRules& sts)
{
    policy = Policy::sts;
    policy_domain = sts.domain;
    strings = sts.strings;
    hosts = sts.patterns;
}

void TlsReport::use(const std::vector<tls::TlsaRecord>& records)
{
    policy = Policy::tlsa;
    for (const tls::TlsaRecord& one : records)
        strings.push_back(fmt::format("{} {} {} {}", one.usage, one.selector, one.matching, hex_encode(one.data)));
}

std::optional<std::string> report_record(std::span<const std::string> texts)
{
    const std::string* record = nullptr;
    for (const std::string& text : texts) {
        if (!text.starts_with("v=TLSRPTv1;"))
            continue;
        if (record)
            return std::nullopt;
        record = &text;
    }
    return record && record->find("rua=") != std::string::npos ? std::optional(*record) : std::nullopt;
}

std::string to_datagram(const TlsReport& report)
{
    std::string text = fmt::format("{{\"d\":{},\"pr\":{},\"policies\":[{{\"policy-type\":{}", json_text(report.domain),
                                   json_text(std::string_view(report.record).substr(0, word_octets)), static_cast<int>(report.policy));
    text += detail_of("policy-domain", report.policy_domain) + list_of("policy-string", report.strings) + list_of("mx-host", report.hosts);
    if (report.fault)
        text += fmt::format(",\"failure-details\":[{{\"c\":{}{}{}{}{}{}}}]", static_cast<int>(*report.fault), detail_of("s", report.from),
                            detail_of("n", report.host), detail_of("h", report.hello), detail_of("r", report.to), detail_of("f", report.reason));
    return text + fmt::format(",\"t\":{0},\"f\":{0}}}]}}", report.fault ? 1 : 0);
}

std::string to_line(const TlsReport& report)
{
    std::string text = fmt::format("TLSRPT: status={}, domain={}, receiving_mx={}{}", report.fault ? "failure" : "success", report.domain,
                                   report.host, report.to.empty() ? std::string() : "[" + report.to + "]");
    if (!report.fault)
        return text;
    std::string name(fault_name(*report.fault)), reason = printable(report.reason);
    std::ranges::replace(name, '-', '_');
    std::ranges::replace(reason, ' ', '_');
    return text + ", failure_type=" + name + (reason.empty() ? "" : ", failure_reason=" + reason);
}

SocketReports::SocketReports(std::string path, const Clock& clock, observe::Log log) : path_(std::move(path)), clock_(clock), log_(std::move(log)) {}

SocketReports::~SocketReports()
{
    if (socket_ >= 0)
        ::close(socket_);
}

void SocketReports::tell(const TlsReport& report)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    int failure = path_.size() < sizeof address.sun_path ? 0 : ENAMETOOLONG;
    if (failure == 0) {
        std::memcpy(address.sun_path, path_.data(), path_.size());
        if (socket_ < 0)
            socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const std::string datagram = to_datagram(report);
        if (socket_ < 0 || ::sendto(socket_, datagram.data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                                    reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0)
            failure = errno;
    }
    if (failure == 0 || (said_ && clock_.steady() - *said_ < said_again))
        return;
    said_ = clock_.steady();
    log_.warning("TLSRPT: {}: {}; reports are lost", path_, errno_text(failure));
}

}  // namespace posthorn::send
