#include "mailauth/arc_sets.hpp"

#include "base/strings.hpp"
#include "mailauth/canonical.hpp"
#include "mailauth/tags.hpp"
#include "message/header.hpp"
#include "tls/digest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace posthorn::mailauth {

namespace {

std::optional<std::size_t> instance_in(std::string_view value)
{
    const auto number = parse_number(trim(value));
    return number && *number >= 1 ? std::optional(static_cast<std::size_t>(std::min<std::uint64_t>(*number, most_arc_sets + 1))) : std::nullopt;
}

/// "i=2" in front of the first ";" of ARC-Authentication-Results; in a list of tags in the others.
std::optional<std::size_t> instance_of(std::size_t part, std::string_view body)
{
    if (part == of_results) {
        const std::string_view first = body.substr(0, body.find(';'));
        const std::size_t equals = first.find('=');
        return equals != first.npos && trim(first.substr(0, equals)) == "i" ? instance_in(first.substr(equals + 1)) : std::nullopt;
    }
    const auto tags = TagList::parse(body);
    const auto written = tags ? tags->find("i") : std::nullopt;
    return written ? instance_in(*written) : std::nullopt;
}

}  // namespace

bool is_arc_field(std::string_view name)
{
    return std::ranges::any_of(arc_fields, [name](std::string_view one) { return iequals(one, name); });
}

/// RFC 8617 5.2, 1 and the shape of 3: each field once for each instance.
ArcSets::ArcSets(std::string_view head)
{
    const auto note = [this](std::string what) {
        if (problem.empty())
            problem = std::move(what);
    };
    message::HeaderWalk walk(head);
    while (const auto field = walk.next()) {
        const auto* const name = std::ranges::find_if(arc_fields, [&](std::string_view one) { return field->is(one); });
        if (name == arc_fields.end())
            continue;
        const auto part = static_cast<std::size_t>(name - arc_fields.begin());
        const auto instance = instance_of(part, field->body);
        if (!instance) {
            note(fmt::format("malformed {}", *name));
            continue;
        }
        highest = std::max(highest, *instance);
        if (*instance > most_arc_sets) {
            note("too many sets");
            continue;
        }
        if (sets.size() < *instance)
            sets.resize(*instance);
        ArcFields& set = sets[*instance - 1];
        if (!set.whole[part].empty()) {
            note(fmt::format("several {} with i={}", *name, *instance));
            continue;
        }
        set.whole[part] = field->whole;
        set.body[part] = field->body;
    }
}

std::string arc_octets(std::string_view results, std::string_view message, std::string_view seal)
{
    std::string octets;
    for (const std::string_view field : {results, message})
        octets += canonical_field(field, Canonical::relaxed) + "\r\n";
    return octets += canonical_field(seal, Canonical::relaxed);
}

std::string arc_digest(std::string_view head)
{
    std::string octets;
    message::HeaderWalk walk(head);
    while (const auto field = walk.next())
        if (is_arc_field(field->name))
            octets += canonical_field(field->whole, Canonical::relaxed) + "\r\n";
    return octets.empty() ? octets : tls::digest(tls::Digest::sha256, octets);
}

}  // namespace posthorn::mailauth
