#include "mailauth/arc.hpp"

#include "async/at_once.hpp"
#include "base/strings.hpp"
#include "mailauth/arc_sets.hpp"
#include "mailauth/dkim_key.hpp"
#include "mailauth/tags.hpp"
#include "message/header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <ranges>
#include <utility>

namespace posthorn::mailauth {

namespace {

constexpr std::size_t most_body_hashes = 4, most_keys_at_once = 10;

/// The words of a DKIM-Signature that says the same: i= and v= mean something else there, and a seal signs neither body nor fields of its choice.
std::string as_dkim_signature(const TagList& tags, bool the_seal)
{
    std::string text = the_seal ? "v=1; h=from; bh=AAAA" : "v=1";
    for (const Tag& tag : tags.all()) {
        if (the_seal ? tag.name != "a" && tag.name != "b" && tag.name != "d" && tag.name != "s" && tag.name != "t"
                     : tag.name == "v" || tag.name == "i")
            continue;
        text += fmt::format("; {}={}", tag.name, tag.value);
    }
    return text;
}

/// Without comments; what stands between quotes stays.
std::string without_comments(std::string_view text)
{
    std::string made;
    std::size_t depth = 0;
    bool in_quotes = false;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        const bool escaped = c == '\\' && at + 1 < text.size() && (in_quotes || depth > 0);
        if (depth == 0 && c == '"')
            in_quotes = !in_quotes;
        if (!in_quotes && c == '(')
            ++depth;
        else if (!in_quotes && depth > 0 && c == ')')
            --depth;
        else if (depth == 0)
            made += text.substr(at, escaped ? 2 : 1);
        if (escaped)
            ++at;
    }
    return made;
}

/// Does one result say dmarc=pass header.from=author? What is quoted is never that.
bool says_dmarc_pass(std::string_view text, std::string_view author)
{
    std::string plain = without_comments(text);
    bool in_quotes = false;
    for (std::size_t at = 0; at < plain.size(); ++at) {
        const char c = plain[at];
        if (c == '"')
            in_quotes = !in_quotes;
        if (!in_quotes)
            continue;
        plain[at] = '"';
        if (c == '\\' && at + 1 < plain.size())
            plain[++at] = '"';
    }
    for (const std::string_view result : split_exact(plain, ';')) {
        const auto words = split(result);
        if (!words.empty() && iequals(words.front(), "dmarc=pass") &&
            std::ranges::any_of(words, [&](std::string_view word) { return istarts_with(word, "header.from=") && iequals(word.substr(12), author); }))
            return true;
    }
    return false;
}

}  // namespace

struct ArcValidator::Key {
    std::string name;
    std::optional<DkimKey> key;
    std::optional<tls::VerifyingKey> parsed;
};

struct ArcValidator::Signed {
    SignatureField field;
    Key* key = nullptr;
};

struct ArcValidator::Set : ArcFields {
    explicit Set(const ArcFields& fields) : ArcFields(fields) {}  // views into the head
    Signed message, seal;
    const BodyHashes::One* hash = nullptr;
};

ArcValidator::ArcValidator(std::string head, std::chrono::sys_seconds now) : head_(std::move(head)), now_(now)
{
    found_.method = "arc";
    found_.result = "none";
    found_.digest = arc_digest(head_);
    const ArcSets chain(head_);
    for (const ArcFields& fields : chain.sets)
        sets_.push_back(std::make_unique<Set>(fields));
    found_.reason = chain.problem.empty() ? parse_sets() : chain.problem;
    if (!found_.reason.empty()) {
        found_.result = "fail";
        sets_.clear();
    }
    if (!sets_.empty())
        want_hashes();
}

ArcValidator::~ArcValidator() = default;

bool ArcValidator::any() const { return !sets_.empty(); }

std::size_t ArcValidator::held() const { return (sets_.empty() ? 1 : 2) * head_.size() + hashes_.held(); }

/// RFC 8617 5.2, 2 and 3. What is wrong; empty: nothing.
std::string ArcValidator::parse_sets()
{
    for (std::size_t i = sets_.size(); i > 0; --i) {
        Set& set = *sets_[i - 1];
        for (const std::size_t part : {of_results, of_message, of_seal})
            if (set.whole[part].empty())
                return fmt::format("no {} with i={}", arc_fields[part], i);
        const auto seal_tags = TagList::parse(set.body[of_seal]), message_tags = TagList::parse(set.body[of_message]);
        if (!seal_tags || !message_tags)
            return fmt::format("malformed set i={}", i);
        const std::string_view cv = seal_tags->find("cv").value_or("");
        if (iequals(cv, "fail"))
            return fmt::format("chain failed before i={}", i);
        if (!iequals(cv, i == 1 ? "none" : "pass"))
            return fmt::format("cv= of i={} does not fit", i);
        if (seal_tags->find("h") || seal_tags->find("bh"))                // RFC 8617 4.1.3
            return fmt::format("seal i={} says what it signs", i);
        for (const bool the_seal : {true, false}) {
            auto parsed = parse_signature(as_dkim_signature(the_seal ? *seal_tags : *message_tags, the_seal));
            const std::string_view name = arc_fields[the_seal ? of_seal : of_message];
            if (!parsed)
                return fmt::format("{} i={}: {}", name, i, parsed.error().reason);
            if (parsed->sha1)
                return fmt::format("{} i={}: rsa-sha1 is no longer good", name, i);
            (the_seal ? set.seal : set.message).field = *std::move(parsed);
        }
        // RFC 8617 4.1.2
        if (std::ranges::any_of(set.message.field.fields, is_arc_field))
            return fmt::format("{} i={} signs fields of the chain", arc_fields[of_message], i);
    }
    return {};
}

void ArcValidator::want_hashes()
{
    for (const auto& set : sets_ | std::views::reverse) {
        const SignatureField& field = set->message.field;
        set->hash = hashes_.want(field.body, field.body_length, most_body_hashes);
        for (Signed* const part : {&set->message, &set->seal}) {
            std::string name = fmt::format("{}._domainkey.{}", part->field.selector, part->field.domain);
            auto key = std::ranges::find_if(keys_, [&](const auto& one) { return one->name == name; });
            if (key == keys_.end()) {
                key = keys_.insert(key, std::make_unique<Key>());
                (*key)->name = std::move(name);
            }
            part->key = key->get();
        }
    }
}

void ArcValidator::add(std::string_view body) { hashes_.add(body); }

awaitable<void> ArcValidator::ask_for_keys(Ask ask)
{
    const auto one = [this, &ask](std::size_t i) { return ask_for_key(ask, *keys_[i]); };
    co_await at_once(keys_.size(), most_keys_at_once, one);
}

awaitable<void> ArcValidator::ask_for_key(const Ask& ask, Key& wanted)
{
    const dns::Answer answer = co_await ask(wanted.name, dns::Type::txt);
    for (const dns::Record& record : answer.records) {
        auto key = DkimKey::parse(record.text);
        if (!key)
            continue;
        if (key->octets.empty() || !key->sha256 || !key->for_mail)
            co_return;
        wanted.key = *std::move(key);
        co_return;
    }
}

bool ArcValidator::is_signed(const Signed& part, std::string_view octets) const
{
    const Key& key = *part.key;
    return key.parsed && key.key && key.key->kind == part.field.kind && key.parsed->verify(octets, part.field.octets);
}

bool ArcValidator::message_holds(const Set& set) const
{
    const SignatureField& field = set.message.field;
    const auto seconds = static_cast<std::uint64_t>(std::max<std::int64_t>(0, now_.time_since_epoch().count()));
    if (set.hash == nullptr || set.hash->value != field.body_hash || (field.body_length && set.hash->hash.left() > 0) ||
        (field.expires && *field.expires < seconds))
        return false;
    Signature what;
    what.header = field.header;
    what.fields = field.fields;
    return is_signed(set.message, octets_to_sign(head_, what, without_signature(set.whole[of_message])));
}

/// RFC 8617 5.1.1, 5.2 step 6: a seal signs all sets up to its own.
std::string ArcValidator::seal_problem() const
{
    std::vector<std::string> signed_octets;               // by each seal
    std::string before;
    for (const auto& set : sets_) {
        const auto octets = [&set](std::string_view seal) { return arc_octets(set->whole[of_results], set->whole[of_message], seal); };
        signed_octets.push_back(before + octets(without_signature(set->whole[of_seal])));
        before += octets(set->whole[of_seal]) + "\r\n";
    }
    for (std::size_t i = sets_.size(); i > 0; --i)
        if (!is_signed(sets_[i - 1]->seal, signed_octets[i - 1]))
            return fmt::format("seal i={} did not verify", i);
    return {};
}

/// On a thread of its own.
void ArcValidator::judge()
{
    for (const auto& key : keys_) {
        const std::optional<DkimKey>& record = key->key;
        if (!record)
            continue;
        auto parsed = tls::VerifyingKey::parse(record->kind, record->octets);
        if (parsed && record->is_fit(parsed->bits()))
            key->parsed = *std::move(parsed);
    }
    found_.result = "fail";
    std::size_t oldest = sets_.size();
    if (!message_holds(*sets_.back())) {
        found_.reason = fmt::format("signature of the message i={} did not verify", sets_.size());
        return;
    }
    if (found_.reason = seal_problem(); !found_.reason.empty())
        return;
    while (oldest > 1 && message_holds(*sets_[oldest - 2]))
        --oldest;
    found_.result = "pass";
    found_.properties.push_back({.type = "header", .name = "oldest-pass", .value = std::to_string(oldest == 1 ? 0 : oldest)});
    for (const auto& set : sets_ | std::views::reverse) {
        const std::string_view text = set->body[of_results];
        found_.chain.push_back({.domain = set->seal.field.domain, .results = message::unfold(text.substr(text.find(';') + 1))});
    }
}

awaitable<ArcFinding> ArcValidator::finding(Helpers& threads)
{
    if (sets_.empty())
        co_return std::move(found_);
    hashes_.finish();
    co_await on_thread(threads, [this] { judge(); });
    co_return std::move(found_);
}

std::string trusted_sealer(const ArcFinding& arc, std::string_view author, const std::function<bool(const std::string& domain)>& trusted)
{
    if (arc.result != "pass")
        return {};
    for (const ArcFinding::Sealed& one : arc.chain) {
        if (!trusted(one.domain))
            return {};
        if (says_dmarc_pass(one.results, author))
            return one.domain;
    }
    return {};
}

}  // namespace posthorn::mailauth
