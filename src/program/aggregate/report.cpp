#include "aggregate/report.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "mailauth/dmarc_record.hpp"
#include "message/compose.hpp"
#include "smtp/path.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <zlib.h>

#include <algorithm>
#include <map>
#include <stdexcept>

namespace posthorn::aggregate {

namespace {

std::int64_t begin_of(const About& about) { return std::chrono::sys_seconds(about.day).time_since_epoch().count(); }
std::int64_t end_of(const About& about) { return begin_of(about) + 86399; }

std::string date_text(Day day)
{
    const std::chrono::year_month_day date(day);
    return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
}

// ---- JSON

std::string json_list(const auto& values)
{
    std::string text;
    for (const std::string& value : values)
        text += (text.empty() ? "" : ",") + json_text(printable(value, true));
    return "[" + text + "]";
}

std::string json_member(std::string_view name, std::string_view value)
{
    return value.empty() ? std::string() : fmt::format(",\"{}\":{}", name, json_text(printable(value, true)));
}

std::string failure_json(const handoff::TlsFailure& failure, std::uint64_t count)
{
    return fmt::format("{{\"result-type\":{}{}{}{}{},\"failed-session-count\":{}{}}}", json_text(printable(failure.type(), true)),
                       json_member("sending-mta-ip", failure.from()), json_member("receiving-mx-hostname", failure.host()),
                       json_member("receiving-mx-helo", failure.hello()), json_member("receiving-ip", failure.to()), count,
                       json_member("failure-reason-code", failure.reason()));
}

// ---- XML

std::string xml_text(std::string_view value)
{
    std::string out;
    for (const char c : printable(value, true)) {
        switch (c) {
        case '&': out += "&amp;"; break;
        case '<': out += "&lt;"; break;
        case '>': out += "&gt;"; break;
        case '"': out += "&quot;"; break;
        default: out += c;
        }
    }
    return out;
}

class Xml {
public:
    void open(std::string_view name)
    {
        text_ += fmt::format("{:{}}<{}>\n", "", indent_, name);
        indent_ += 2;
    }
    void close(std::string_view name)
    {
        indent_ -= 2;
        text_ += fmt::format("{:{}}</{}>\n", "", indent_, name);
    }
    void leaf(std::string_view name, std::string_view value) { text_ += fmt::format("{:{}}<{}>{}</{}>\n", "", indent_, name, xml_text(value), name); }
    void leaf(std::string_view name, std::int64_t value) { leaf(name, fmt::to_string(value)); }
    void leaf_if(std::string_view name, std::string_view value)
    {
        if (!value.empty())
            leaf(name, value);
    }
    std::string take() { return std::move(text_); }

private:
    std::string text_ = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
    std::size_t indent_ = 0;
};

void write_record(Xml& xml, const handoff::DmarcRow& row, std::uint64_t count)
{
    const auto passed = [](bool pass) { return pass ? "pass" : "fail"; };
    xml.open("record");
    xml.open("row");
    xml.leaf("source_ip", row.source());
    xml.leaf("count", static_cast<std::int64_t>(count));
    xml.open("policy_evaluated");
    xml.leaf("disposition", row.disposition());
    xml.leaf("dkim", passed(row.dkim()));
    xml.leaf("spf", passed(row.spf()));
    if (!row.reason().empty()) {
        xml.open("reason");
        xml.leaf("type", row.reason());
        xml.leaf_if("comment", row.comment());
        xml.close("reason");
    }
    xml.close("policy_evaluated");
    xml.close("row");
    xml.open("identifiers");
    xml.leaf("envelope_from", row.envelope_from());
    xml.leaf("header_from", row.header_from());
    xml.close("identifiers");
    xml.open("auth_results");
    for (const handoff::DmarcRow::Dkim& signature : row.signatures()) {
        xml.open("dkim");
        xml.leaf("domain", signature.domain());
        xml.leaf_if("selector", signature.selector());
        xml.leaf("result", signature.result());
        xml.close("dkim");
    }
    xml.open("spf");
    xml.leaf("domain", row.spf_domain());
    xml.leaf("scope", row.spf_scope().empty() ? "mfrom" : row.spf_scope());
    xml.leaf("result", row.spf_result().empty() ? "none" : row.spf_result());
    xml.close("spf");
    xml.close("auth_results");
    xml.close("record");
}

// ---- In words

/// The most frequent first, ten at most: "      12  mx.example.com[192.0.2.1]: certificate-expired".
std::string most_frequent(const std::map<std::string, std::uint64_t>& counts)
{
    constexpr std::size_t most = 10;
    std::vector<std::pair<std::uint64_t, std::string>> sorted;
    for (const auto& [what, count] : counts)
        sorted.emplace_back(count, what);
    std::ranges::sort(sorted, [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
    std::string text;
    for (const auto& [count, what] : std::span(sorted).first(std::min(most, sorted.size())))
        text += fmt::format("{:>8}  {}\n", count, what);
    if (sorted.size() > most)
        text += fmt::format("          and {} more kinds, see the attachment\n", sorted.size() - most);
    return text;
}

}  // namespace

std::string_view kind_name(Kind kind) { return kind == Kind::tls ? "tls" : "dmarc"; }

std::string About::submitter() const { return address.substr(address.rfind('@') + 1); }
std::string About::id() const { return fmt::format("{}.{}.{}.{}@{}", date_text(day), part, kind_name(kind), domain, submitter()); }
std::string About::file_name() const
{
    return fmt::format("{}!{}!{}!{}{}.{}.gz", submitter(), domain, begin_of(*this), end_of(*this),
                       part > 1 ? fmt::format("!{}", part) : std::string(), kind == Kind::tls ? "json" : "xml");
}

std::string tls_report(const About& about, const std::vector<TlsRow>& rows)
{
    struct Policy {
        handoff::TlsPolicy policy;
        std::uint64_t good = 0, bad = 0;
        std::string failures;
    };
    std::map<std::string, Policy> policies;
    for (const TlsRow& row : rows) {
        Policy& policy = policies[row.policy.SerializeAsString()];
        policy.policy = row.policy;
        if (row.failure.type().empty()) {
            policy.good += row.count;
            continue;
        }
        policy.bad += row.count;
        policy.failures += (policy.failures.empty() ? "" : ",") + failure_json(row.failure, row.count);
    }
    std::string text =
        fmt::format("{{\"organization-name\":{},\"date-range\":{{\"start-datetime\":\"{}T00:00:00Z\",\"end-datetime\":\"{}T23:59:59Z\"}},"
                    "\"contact-info\":{},\"report-id\":{},\"policies\":[",
                    json_text(about.organization), date_text(about.day), date_text(about.day), json_text(about.address), json_text(about.id()));
    bool first = true;
    for (const auto& [key, policy] : policies) {
        text += std::exchange(first, false) ? "" : ",";
        text += fmt::format("{{\"policy\":{{\"policy-type\":{}", json_text(printable(policy.policy.type(), true)));
        if (policy.policy.strings_size() > 0)
            text += ",\"policy-string\":" + json_list(policy.policy.strings());
        text += fmt::format(",\"policy-domain\":{}", json_text(printable(policy.policy.domain(), true)));
        if (policy.policy.hosts_size() > 0)
            text += ",\"mx-host\":" + json_list(policy.policy.hosts());
        text += fmt::format("}},\"summary\":{{\"total-successful-session-count\":{},\"total-failure-session-count\":{}}}", policy.good, policy.bad);
        if (!policy.failures.empty())
            text += ",\"failure-details\":[" + policy.failures + "]";
        text += "}";
    }
    return text + "]}\n";
}

std::string dmarc_report(const About& about, std::string_view record, const std::vector<DmarcRow>& rows, std::uint64_t left_out)
{
    const auto parsed = mailauth::parse_dmarc_record(record);
    const mailauth::DmarcRecord published = parsed ? *parsed : mailauth::DmarcRecord{};
    const auto mode = [](bool strict) { return strict ? "s" : "r"; };
    Xml xml;
    xml.open("feedback");
    xml.leaf("version", "1.0");
    xml.open("report_metadata");
    xml.leaf("org_name", about.organization);
    xml.leaf("email", about.address);
    xml.leaf("report_id", about.id());
    xml.open("date_range");
    xml.leaf("begin", begin_of(about));
    xml.leaf("end", end_of(about));
    xml.close("date_range");
    if (left_out > 0)
        xml.leaf("error", fmt::format("{} messages are not listed: too many different ones", left_out));
    xml.close("report_metadata");
    xml.open("policy_published");
    xml.leaf("domain", about.domain);
    xml.leaf("adkim", mode(published.strict_dkim));
    xml.leaf("aspf", mode(published.strict_spf));
    xml.leaf("p", mailauth::dmarc_policy_name(published.policy));
    xml.leaf("sp", mailauth::dmarc_policy_name(published.subdomain_policy.value_or(published.policy)));
    xml.leaf("pct", static_cast<std::int64_t>(published.percent));
    xml.leaf("fo", published.failure_options);
    xml.close("policy_published");
    for (const DmarcRow& row : rows)
        write_record(xml, row.row, row.count);
    xml.close("feedback");
    return xml.take();
}

std::string tls_summary(const About& about, const std::vector<TlsRow>& rows)
{
    std::uint64_t good = 0, bad = 0;
    std::map<std::string, std::uint64_t> wrong;
    for (const TlsRow& row : rows) {
        const handoff::TlsFailure& failure = row.failure;
        if (failure.type().empty()) {
            good += row.count;
            continue;
        }
        bad += row.count;
        std::string where = failure.host();
        if (!failure.to().empty())
            where += "[" + failure.to() + "]";
        wrong[printable(
                  fmt::format("{}{}{}{}{}", where, where.empty() ? "" : ": ", failure.type(), failure.reason().empty() ? "" : ": ", failure.reason()))
                  .substr(0, 200)] += row.count;
    }
    return fmt::format("This is an aggregate TLS report from {}: sessions by SMTP with the servers of\n{} on {} (UTC).\n\n"
                       "{:>8}  were as its policy asks\n{:>8}  were not\n{}{}",
                       about.organization, about.domain, date_text(about.day), good, bad, wrong.empty() ? "" : "\nof these\n", most_frequent(wrong));
}

std::string dmarc_summary(const About& about, const std::vector<DmarcRow>& rows, std::uint64_t left_out)
{
    std::uint64_t good = 0, bad = 0, kept = 0;
    std::map<std::string, std::uint64_t> from;
    for (const DmarcRow& row : rows) {
        if (row.row.dkim() || row.row.spf()) {
            good += row.count;
            continue;
        }
        bad += row.count;
        kept += row.row.disposition() == "none" ? 0 : row.count;
        from[printable(row.row.source())] += row.count;
    }
    std::string text = fmt::format("This is a DMARC aggregate report from {}: messages that say they are from\n{} on {} (UTC).\n\n"
                                   "{:>8}  passed\n{:>8}  did not; {} of them were refused or put aside\n",
                                   about.organization, about.domain, date_text(about.day), good, bad, kept);
    if (left_out > 0)
        text += fmt::format("{:>8}  more are not listed\n", left_out);
    return text + (from.empty() ? "" : "\nthose that did not pass came from\n") + most_frequent(from);
}

std::string gzip(std::string_view octets)
{
    constexpr int gzip_window = 15 + 16;
    z_stream stream{};
    if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, gzip_window, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        throw std::runtime_error("zlib: no memory");
    std::string out(deflateBound(&stream, octets.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(octets.data()));
    stream.avail_in = static_cast<uInt>(octets.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const int done = deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    if (done != Z_STREAM_END)
        throw std::runtime_error("zlib: a report could not be compressed");
    return out;
}

std::string letter_text(const About& about, const Letter& letter, WallTime now)
{
    constexpr std::size_t line = 76;
    const bool tls = about.kind == Kind::tls;
    const std::string boundary = fmt::format("report.{}.{}", begin_of(about), about.submitter()), name = about.file_name();
    std::string text;
    const auto add = [&text](std::string_view header, std::string_view body) { text += message::field(header, body); };
    add("Date", message::date(now, {}));
    add("From", message::named_address(about.organization, smtp::mailbox_of(about.address)));
    add("To", message::named_address("", smtp::mailbox_of(letter.to)));
    add("Subject", fmt::format("Report Domain: {} Submitter: {} Report-ID: <{}>", about.domain, about.submitter(), about.id()));
    add("Message-ID", fmt::format("<{}.{}>", now.time_since_epoch().count(), about.id()));
    add("Auto-Submitted", "auto-generated");
    if (tls) {
        add("TLS-Report-Domain", about.domain);
        add("TLS-Report-Submitter", about.submitter());
        add("TLS-Required", "No");               // the report of a policy that cannot be met has to get through: RFC 8460 5.3.1, RFC 8689 5
    }
    add("MIME-Version", "1.0");
    text += fmt::format("Content-Type: multipart/{}; boundary=\"{}\"\r\n\r\n", tls ? "report; report-type=\"tlsrpt\"" : "mixed", boundary);
    text += fmt::format("--{}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n", boundary);
    for (const std::string_view one : split_exact(trim(letter.summary), '\n'))
        text += printable(one) + "\r\n";
    text += fmt::format("\r\n--{}\r\nContent-Type: application/{}\r\nContent-Transfer-Encoding: base64\r\n"
                        "Content-Disposition: attachment;\r\n filename=\"{}\"\r\n\r\n",
                        boundary, tls ? "tlsrpt+gzip" : "gzip", name);
    const std::string encoded = base64_encode(letter.attachment);
    for (std::size_t at = 0; at < encoded.size(); at += line)
        text += encoded.substr(at, line) + "\r\n";
    return text + fmt::format("\r\n--{}--\r\n", boundary);
}

}  // namespace posthorn::aggregate
