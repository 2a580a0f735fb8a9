#include "services/records.hpp"

#include "services/params.hpp"
#include "tls/digest.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::services {

namespace {

constexpr std::size_t most_fields = 50, longest_field = 76;

/// RFC 5322 3.6.8.
bool is_field_name(std::string_view name)
{
    return !name.empty() && name.size() <= longest_field &&
           std::ranges::all_of(name, [](char c) { return c > ' ' && c <= '~' && c != ':' && c != '"' && c != '\\'; });
}

}  // namespace

handoff::RecordOptions record_options(const config::Snapshot& snapshot)
{
    handoff::RecordOptions made;
    const config::List types = snapshot.get(record_types), fields = snapshot.get(record_headers);
    const bool wanted = !snapshot.text("record_file").empty();
    for (const config::ListMember& member : types) {
        const auto type = handoff::record_type(member.text);
        if (!type)
            throw config::BadValue(fmt::format("parameter {}: unknown type of record: {}", record_types.name, member.text));
        made.types.set(static_cast<std::size_t>(*type), wanted);
    }
    for (const config::ListMember& member : fields) {
        if (!is_field_name(member.text) || made.headers.size() == most_fields)
            throw config::BadValue(fmt::format("parameter {}: {}", record_headers.name,
                                               made.headers.size() == most_fields ? fmt::format("more than {} names", most_fields)
                                                                                  : fmt::format("not the name of a header field: {}", member.text)));
        if (wanted)
            made.headers.push_back(member.text);
    }
    if (wanted)
        made.node = host_uuid(snapshot.text("myhostname"));
    else
        made.types.reset();
    return made;
}

std::string host_uuid(std::string_view name)
{
    static constexpr std::string_view dns_namespace("\x6b\xa7\xb8\x10\x9d\xad\x11\xd1\x80\xb4\x00\xc0\x4f\xd4\x30\xc8", 16);
    std::string octets = tls::digest(tls::Digest::sha1, std::string(dns_namespace).append(name)).substr(0, 16);
    octets[6] = static_cast<char>((octets[6] & 0x0f) | 0x50);
    octets[8] = static_cast<char>((octets[8] & 0x3f) | 0x80);
    std::string text;
    for (std::size_t at = 0; at < octets.size(); ++at)
        text += fmt::format("{}{:02x}", at == 4 || at == 6 || at == 8 || at == 10 ? "-" : "", static_cast<unsigned char>(octets[at]));
    return text;
}

}  // namespace posthorn::services
