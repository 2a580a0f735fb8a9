#include "sts/policy.hpp"

#include "base/strings.hpp"
#include "dns/record.hpp"
#include "tls/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posthorn::sts {

namespace {

constexpr std::array<std::string_view, 3> mode_words{"none", "testing", "enforce"};
constexpr std::string_view version = "STSv1";

std::string_view less_blanks(std::string_view text)
{
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
        text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
        text.remove_suffix(1);
    return text;
}

bool is_id(std::string_view text) { return !text.empty() && text.size() <= 32 && std::ranges::all_of(text, is_alnum); }

/// RFC 8461 3.1: sts-ext-name, sts-ext-value.
bool is_extension(std::string_view name, std::string_view value)
{
    const auto in_name = [](char c) { return is_alnum(c) || c == '_' || c == '-' || c == '.'; };
    const auto in_value = [](char c) { return c > ' ' && c < 127 && c != '=' && c != ';'; };
    return !name.empty() && name.size() <= 32 && is_alnum(name.front()) && std::ranges::all_of(name, in_name) && !value.empty() &&
           std::ranges::all_of(value, in_value);
}

/// Of a record that begins with its version.
std::optional<std::string> id_in(std::string_view record)
{
    std::optional<std::string> id;
    auto fields = split_exact(record, ';');
    if (less_blanks(fields.back()).empty())                           // the last delimiter may end the record
        fields.pop_back();
    for (std::size_t at = 1; at < fields.size(); ++at) {
        const std::string_view field = less_blanks(fields[at]);
        const auto equals = field.find('=');
        const std::string_view name = field.substr(0, equals), value = equals == field.npos ? std::string_view() : field.substr(equals + 1);
        if (name == "id" ? !is_id(value) : !is_extension(name, value))
            return std::nullopt;
        if (name == "id" && !id)
            id = value;
    }
    return id;
}

/// RFC 5321's Domain, or such a name below "*.".
bool is_pattern(std::string_view text)
{
    if (text.starts_with("*."))
        text.remove_prefix(2);
    return is_ascii(text) && !text.ends_with('.') && dns::is_hostname(text);
}

struct Fields {
    std::optional<std::string_view> version, mode, max_age;
    std::vector<std::string_view> hosts;
};

Result<Fields> fields_of(std::string_view text)
{
    Fields fields;
    const auto first = [](std::optional<std::string_view>& field, std::string_view value) {
        if (!field)
            field = value;
    };
    for (std::string_view line : split_exact(text, '\n')) {
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        line = less_blanks(line);
        if (line.empty())
            continue;
        const auto colon = line.find(':');
        if (colon == line.npos || colon == 0)
            return Error{fmt::format("a line that is no field: \"{}\"", printable(line.substr(0, 80)))};
        const std::string_view name = line.substr(0, colon), value = less_blanks(line.substr(colon + 1));
        if (name == "version")
            first(fields.version, value);
        else if (name == "mode")
            first(fields.mode, value);
        else if (name == "max_age")
            first(fields.max_age, value);
        else if (name == "mx")
            fields.hosts.push_back(value);
    }
    return fields;
}

}  // namespace

std::string_view mode_name(Mode mode) { return mode_words.at(static_cast<std::size_t>(mode)); }

std::optional<std::string> id_of(std::span<const std::string> texts)
{
    const std::string* record = nullptr;
    for (const std::string& text : texts) {
        if (!text.starts_with("v=STSv1") || !less_blanks(std::string_view(text).substr(7)).starts_with(';'))
            continue;
        if (record)
            return std::nullopt;
        record = &text;
    }
    return record ? id_in(*record) : std::nullopt;
}

Result<Policy> parse_policy(std::string_view text)
{
    if (text.size() > policy_octets)
        return Error{fmt::format("it has more than {} octets", policy_octets)};
    TRY(const Fields fields, fields_of(text));
    if (fields.version != version)
        return Error{"it has no \"version: STSv1\""};
    const auto mode = std::ranges::find(mode_words, fields.mode.value_or(""));
    if (mode == mode_words.end())
        return Error{"it has no mode of enforce, testing or none"};
    const auto seconds = fields.max_age && fields.max_age->size() <= 10 ? parse_number(*fields.max_age) : std::nullopt;
    if (!seconds)
        return Error{"it has no max_age"};
    Policy policy;
    policy.mode = static_cast<Mode>(mode - mode_words.begin());
#ifdef POSTHORN_PLANT_BUG_sts_policy  // as long as a domain likes (scripts/fuzz-planted)
    policy.max_age = std::chrono::seconds(static_cast<std::int64_t>(*seconds));
#else
    policy.max_age = std::min<std::chrono::seconds>(std::chrono::seconds(static_cast<std::int64_t>(*seconds)), longest_age);
#endif
    for (const std::string_view host : fields.hosts) {
        if (!is_pattern(host))
            return Error{fmt::format("\"mx: {}\" is no name of a host", printable(host.substr(0, 80)))};
        policy.hosts.push_back(to_lower(host));
    }
    if (policy.hosts.size() > hosts_at_most)
        return Error{fmt::format("it has more than {} mx", hosts_at_most)};
    if (policy.hosts.empty() && policy.mode != Mode::none)
        return Error{"it has no mx"};
    return policy;
}

std::string to_text(const Policy& policy)
{
    std::string text = fmt::format("version: {}\nmode: {}\nmax_age: {}\n", version, mode_name(policy.mode), policy.max_age.count());
    for (const std::string& host : policy.hosts)
        text += fmt::format("mx: {}\n", host);
    return text;
}

bool names(const Policy& policy, std::string_view host)
{
    return std::ranges::any_of(policy.hosts, [&](const std::string& pattern) { return tls::name_matches(pattern, host); });
}

std::string octets_of(const Known& known)
{
    return fmt::format("1 {} {}\n{}", known.id, known.fetched.time_since_epoch().count(), to_text(known.policy));
}

std::optional<Known> known_of(std::string_view octets)
{
    const auto end = octets.find('\n');
    const auto words = split_exact(octets.substr(0, end), ' ');
    if (end == octets.npos || words.size() != 3 || words[0] != "1" || !is_id(words[1]))
        return std::nullopt;
    const auto micros = parse_number(words[2]);
    auto policy = parse_policy(octets.substr(end + 1));
    if (!micros || *micros > std::uint64_t{1} << 60U || !policy)
        return std::nullopt;
    return Known{std::string(words[1]), WallTime(std::chrono::microseconds(static_cast<std::int64_t>(*micros))), *std::move(policy)};
}

}  // namespace posthorn::sts
