// heard/heard_testing.hpp: reports and mails as others make them, for tests.
#pragma once

#include "base/strings.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace posthorn::heard {

inline std::string little_endian(std::uint64_t number, std::size_t size)
{
    std::string octets;
    for (std::size_t i = 0; i < size; ++i, number >>= 8U)
        octets += static_cast<char>(number & 0xFFU);
    return octets;
}

inline std::string deflated(std::string_view octets)
{
    z_stream stream{};
    if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return {};
    std::string out(deflateBound(&stream, octets.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(octets.data()));
    stream.avail_in = static_cast<uInt>(octets.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

struct ZipForm {
    bool stored = false, sizes_behind = false, damaged = false;
    unsigned flags = 0, method = 8;
};

/// One entry, as the head before it and what may follow say, and the central directory, of which nobody reads more than its first octets here.
inline std::string zipped(std::string_view octets, std::string_view name, ZipForm form = {})
{
    const std::string packed = form.stored ? std::string(octets) : deflated(octets);
    const auto sum = crc32(0, reinterpret_cast<const Bytef*>(octets.data()), static_cast<uInt>(octets.size())) ^ (form.damaged ? 1U : 0U);
    const std::string sizes = little_endian(sum, 4) + little_endian(packed.size(), 4) + little_endian(octets.size(), 4);
    std::string file = "PK\x03\x04" + little_endian(20, 2) + little_endian(form.flags | (form.sizes_behind ? 8U : 0U), 2) +
                       little_endian(form.stored ? 0U : form.method, 2) + little_endian(0, 4) + (form.sizes_behind ? std::string(12, '\0') : sizes) +
                       little_endian(name.size(), 2) + little_endian(0, 2);
    file += name;
    file += packed;
    if (form.sizes_behind)
        file += "PK\x07\x08" + sizes;
    return file + "PK\x01\x02";
}

inline std::string dmarc_record(std::string_view source, unsigned count, bool dkim, bool spf, std::string_view disposition = "none")
{
    return fmt::format(
        "<record><row><source_ip>{}</source_ip><count>{}</count><policy_evaluated><disposition>{}</disposition><dkim>{}</dkim><spf>{}</spf>"
        "</policy_evaluated></row><identifiers><header_from>example.com</header_from></identifiers><auth_results><dkim><domain>example.com</domain>"
        "<selector>s1</selector><result>{}</result></dkim><spf><domain>bounce.example.com</domain><result>{}</result></spf></auth_results></record>",
        source, count, disposition, dkim ? "pass" : "fail", spf ? "pass" : "fail", dkim ? "pass" : "fail", spf ? "pass" : "softfail");
}

inline std::string dmarc_feedback(std::string_view records, std::string_view id = "1234567890", std::string_view organization = "receiver.test",
                                  std::string_view domain = "example.com")
{
    return fmt::format(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<feedback>\n<report_metadata><org_name>{}</org_name><email>noreply@receiver.test</email>"
        "<report_id>{}</report_id><date_range><begin>1764201600</begin><end>1764287999</end></date_range></report_metadata>"
        "<policy_published><domain>{}</domain><adkim>r</adkim><aspf>r</aspf><p>reject</p><sp>none</sp><pct>100</pct></policy_published>{}</feedback>\n",
        organization, id, domain, records);
}

inline std::string tls_text(std::string_view details, unsigned good, unsigned bad, std::string_view id = "tls-1")
{
    return fmt::format(
        R"({{"organization-name": "Receiver Inc.", "date-range": {{"start-datetime": "2025-11-27T00:00:00Z", "end-datetime": "2025-11-27T23:59:59Z"}},
 "contact-info": "tls@receiver.test", "report-id": "{}", "policies": [{{"policy": {{"policy-type": "sts", "policy-string": ["version: STSv1", "mode: enforce"],
 "policy-domain": "example.com", "mx-host": ["mx.example.com"]}}, "summary": {{"total-successful-session-count": {}, "total-failure-session-count": {}}},
 "failure-details": [{}]}}]}})",
        id, good, bad, details);
}

/// A mail of two parts, of which the second is this.
inline std::string letter_with(std::string_view type, std::string_view name, std::string_view octets, std::string_view more_head = "")
{
    return fmt::format(
        "From: Receiver <noreply@receiver.test>\r\nTo: dmarc@example.com\r\nSubject: Report\r\n{}MIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSee below.\r\n--b\r\nContent-Type: {}\r\n"
        "Content-Disposition: attachment;\r\n\tfilename=\"{}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--\r\n",
        more_head, type, name, base64_encode(octets));
}

}  // namespace posthorn::heard
