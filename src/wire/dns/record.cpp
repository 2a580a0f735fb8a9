#include "dns/record.hpp"

#include "base/strings.hpp"
#include "dns/wire.hpp"

#include <fmt/format.h>

#include <array>
#include <cstring>

namespace posthorn::dns {

namespace {

struct TypeWord {
    Type type;
    std::string_view name;
};
constexpr std::array types{TypeWord{Type::a, "A"},          TypeWord{Type::ns, "NS"},     TypeWord{Type::cname, "CNAME"},
                           TypeWord{Type::soa, "SOA"},      TypeWord{Type::ptr, "PTR"},   TypeWord{Type::mx, "MX"},
                           TypeWord{Type::txt, "TXT"},      TypeWord{Type::aaaa, "AAAA"}, TypeWord{Type::srv, "SRV"},
                           TypeWord{Type::opt, "OPT"},      TypeWord{Type::tlsa, "TLSA"}, TypeWord{Type::rrsig, "RRSIG"},
                           TypeWord{Type::dnskey, "DNSKEY"}};

}  // namespace

std::string_view type_name(Type type)
{
    for (const TypeWord& word : types)
        if (word.type == type)
            return word.name;
    return "?";
}

std::optional<Type> type_of(std::string_view name)
{
    for (const TypeWord& word : types)
        if (iequals(word.name, name))
            return word.type;
    return std::nullopt;
}

std::string_view status_text(Status status)
{
    switch (status) {
    case Status::found: return "Host found";
    case Status::nodata: return "Host found but no data record of requested type";
    case Status::nxdomain: return "Host not found";
    case Status::temporary:
    case Status::bogus: return "Host not found, try again";
    }
    return "";
}

Error lookup_error(std::string_view name, Type type, const Answer& answer)
{
    return Error{
        fmt::format("Host or domain name not found. Name service error for name={} type={}: {}", name, type_name(type), status_text(answer.status)),
        answer.transient() ? "4.4.3" : "5.4.4"}
        .after(answer.reason);
}

bool is_null_mx(const Answer& answer)
{
    return answer.found() && answer.records.size() == 1 && answer.records[0].type == Type::mx && answer.records[0].host.empty();
}

Result<Record> parse_rdata(Type type, std::string_view rdata)
{
    Reader reader(rdata);
    Record record;
    record.type = type;
    switch (type) {
    case Type::a: {
        std::array<std::uint8_t, 4> octets{};
        if (const auto raw = reader.take(4); reader.ok())
            std::memcpy(octets.data(), raw.data(), 4);
        record.address = net::IpAddress::v4(octets);
        break;
    }
    case Type::aaaa: {
        std::array<std::uint8_t, 16> octets{};
        if (const auto raw = reader.take(16); reader.ok())
            std::memcpy(octets.data(), raw.data(), 16);
        record.address = net::IpAddress::v6(octets);
        break;
    }
    case Type::mx:
        record.preference = reader.u16();
        record.host = reader.name();
        break;
    case Type::ns:
    case Type::cname:
    case Type::ptr: record.host = reader.name(); break;
    case Type::srv:
        record.preference = reader.u16();
        record.weight = reader.u16();
        record.port = reader.u16();
        record.host = reader.name();
        break;
    case Type::txt:
        do
            record.text += reader.take(reader.u8());
        while (reader.left() > 0);
        break;
    case Type::tlsa:
        record.usage = reader.u8();
        record.selector = reader.u8();
        record.matching = reader.u8();
        record.text = reader.take(reader.left());
        break;
    case Type::dnskey: record.text = reader.take(reader.left()); break;
    case Type::soa:
    case Type::opt:
    case Type::rrsig: return Error{"no such record is asked for", "4.4.3"};
    }
    if (!reader.ok() || reader.left() > 0)
        return Error{fmt::format("malformed {} record", type_name(type)), "4.4.3"};
    return record;
}

bool is_queryable(std::string_view name)
{
    if (name.ends_with('.'))
        name.remove_suffix(1);
    if (name.empty() || name.size() > 253)
        return false;
    for (const std::string_view label : split_exact(name, '.')) {
        if (label.empty() || label.size() > 63)
            return false;
        for (const char c : label)
            if (c <= ' ' || c >= 127 || c == '\\')
                return false;
    }
    return true;
}

bool is_hostname(std::string_view name)
{
    if (!is_queryable(name) || name.ends_with('.'))
        return false;
    bool other_than_digits = false;
    for (const std::string_view label : split_exact(name, '.')) {
        if (label.front() == '-' || label.back() == '-')
            return false;
        for (const char c : label) {
            if (!is_alnum(c) && c != '-' && c != '_')
                return false;
            other_than_digits |= !is_digit(c);
        }
    }
    return other_than_digits;
}

}  // namespace posthorn::dns
