#include "siblings/words.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::siblings {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t text_octets = 300, name_octets = 255;
constexpr milliseconds longest = std::chrono::hours{400 * 24};

Error none_of_ours(std::string_view what) { return Error{fmt::format("it tells {}", what), "5.5.2"}; }

std::uint64_t count_of(milliseconds span) { return static_cast<std::uint64_t>(std::max<milliseconds::rep>(span.count(), 0)); }
milliseconds span_of(std::uint64_t count) { return milliseconds{static_cast<milliseconds::rep>(std::min(count, count_of(longest)))}; }

/// A word that is printable; it goes to logs, listings and replies.
bool is_text(std::string_view text, std::size_t most) { return text.size() <= most && printable(text, true) == text; }

Result<peers::Word> word_of(const OfPeer& from)
{
    peers::Word word;
    word.peer = {from.address(), from.banner_host(), from.site()};
    if (word.peer.address.empty() || word.peer.address.find(' ') != std::string::npos || !is_text(word.peer.address, text_octets) ||
        !is_text(word.peer.banner_host, text_octets) || !is_text(word.peer.site, text_octets))
        return none_of_ours("of a server without a proper name");
    if (from.faults_size() > static_cast<int>(peers::quirk_count) || from.taken_back_size() > static_cast<int>(peers::quirk_count))
        return none_of_ours(fmt::format("more faults of {} than there are", word.peer.address));
    for (const Fault& one : from.faults()) {
        if (!is_text(one.seen(), text_octets))
            return none_of_ours(fmt::format("what {} does in words that are none", word.peer.address));
        if (one.quirk() < peers::quirk_count)
            word.faults.push_back({static_cast<peers::Quirk>(one.quirk()), one.number(), one.seen(), span_of(one.age()), span_of(one.left())});
    }
    for (const TakenBack& one : from.taken_back())
        if (one.quirk() < peers::quirk_count)
            word.taken_back.push_back({static_cast<peers::Quirk>(one.quirk()), span_of(one.age())});
    word.limits = {.recipients_per_mail = from.recipients_per_mail(), .errors_per_session = from.errors_per_session()};
    word.limits_left = span_of(from.limits_left());
    if (from.has_tls())
        word.tls_worked = span_of(from.tls_worked());
    return word;
}

Result<peers::WayWord> word_of(const OfWay& from)
{
    if (from.address().empty() || from.address().find(' ') != std::string::npos || !is_text(from.address(), text_octets))
        return none_of_ours("of a way to no address");
    return peers::WayWord{from.address(), from.lost(), span_of(from.left())};
}

/// No sibling says what is known of a domain: no key of an address has a ':'.
bool is_key(std::string_view key)
{
#ifdef POSTHORN_PLANT_BUG_siblings  // what is known of a domain may be told (scripts/fuzz-planted)
    return !key.empty() && is_text(key, verify::key_limit);
#endif
    return !key.empty() && is_text(key, verify::key_limit) && key.find(':') == key.npos && key != verify::cleanup_key;
}

Result<verify::Told> word_of(const OfAddress& from)
{
    using Kind = verify::Finding::Kind;
    if (!is_key(from.key()) || !is_text(from.text(), verify::text_limit))
        return none_of_ours("of an address that is none");
    if (from.kind() != static_cast<std::uint32_t>(Kind::deliverable) && from.kind() != static_cast<std::uint32_t>(Kind::undeliverable))
        return none_of_ours(fmt::format("a result of {} that is none", from.key()));
    return verify::Told{from.key(), static_cast<Kind>(from.kind()), from.text(), span_of(from.age())};
}

Result<Asked> word_of(const Asking& from)
{
    if (!is_key(from.key()))
        return none_of_ours("that it asks about an address that is none");
    return Asked{from.key(), from.over()};
}

template <class From, class To>
Result<void> read(const From& from, std::vector<To>& to)
{
    if (from.size() > static_cast<int>(words_at_most))
        return none_of_ours("too much at once");
    to.reserve(static_cast<std::size_t>(from.size()));
    for (const auto& one : from) {
        TRY(auto word, word_of(one));
        to.push_back(std::move(word));
    }
    return {};
}

}  // namespace

Result<Words> words_of(const Said& said)
{
    Words words;
    TRY_VOID(read(said.peers(), words.peers));
    TRY_VOID(read(said.ways(), words.ways));
    TRY_VOID(read(said.addresses(), words.addresses));
    TRY_VOID(read(said.asking(), words.asking));
    return words;
}

std::size_t add(Said& said, const peers::Word& word)
{
    OfPeer& made = *said.add_peers();
    made.set_address(word.peer.address);
    made.set_banner_host(word.peer.banner_host);
    made.set_site(word.peer.site);
    for (const peers::Word::Fault& fault : word.faults) {
        Fault& one = *made.add_faults();
        one.set_quirk(static_cast<std::uint32_t>(fault.quirk));
        one.set_number(fault.number);
        one.set_seen(printable(fault.seen, true));
        one.set_age(count_of(fault.age));
        one.set_left(count_of(fault.left));
    }
    for (const peers::Word::TakenBack& back : word.taken_back) {
        TakenBack& one = *made.add_taken_back();
        one.set_quirk(static_cast<std::uint32_t>(back.quirk));
        one.set_age(count_of(back.age));
    }
    made.set_recipients_per_mail(word.limits.recipients_per_mail);
    made.set_errors_per_session(word.limits.errors_per_session);
    made.set_limits_left(count_of(word.limits_left));
    made.set_has_tls(word.tls_worked.has_value());
    made.set_tls_worked(count_of(word.tls_worked.value_or(milliseconds{0})));
    return made.ByteSizeLong();
}

std::size_t add(Said& said, const peers::WayWord& word)
{
    OfWay& made = *said.add_ways();
    made.set_address(word.address);
    made.set_lost(word.lost);
    made.set_left(count_of(word.left));
    return made.ByteSizeLong();
}

std::size_t add(Said& said, const verify::Told& word)
{
    OfAddress& made = *said.add_addresses();
    made.set_key(word.key);
    made.set_kind(static_cast<std::uint32_t>(word.kind));
    made.set_text(word.text);
    made.set_age(count_of(word.age));
    return made.ByteSizeLong();
}

std::size_t add(Said& said, const Asked& asked)
{
    Asking& made = *said.add_asking();
    made.set_key(asked.key);
    made.set_over(asked.over);
    return made.ByteSizeLong();
}

bool is_name(std::string_view name)
{
    return !name.empty() && name.size() <= name_octets &&
           std::ranges::all_of(name, [](char c) { return is_alnum(c) || c == '.' || c == '-' || c == '_' || c == ':' || c == '[' || c == ']'; });
}

}  // namespace posthorn::siblings
