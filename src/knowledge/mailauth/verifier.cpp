#include "mailauth/verifier.hpp"

#include "async/at_once.hpp"
#include "base/strings.hpp"
#include "dns/idna.hpp"
#include "mailauth/dkim_key.hpp"
#include "mailauth/signer.hpp"
#include "mailauth/tags.hpp"
#include "message/header.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::mailauth {

namespace {

constexpr std::size_t most_fields = 200;              // DKIM-Signature fields that are read at all

DkimResult neutral(std::string reason) { return {"neutral", std::move(reason)}; }
DkimResult permerror(std::string reason) { return {"permerror", std::move(reason)}; }

bool is_below(std::string_view name, std::string_view domain)
{
    return name.size() > domain.size() && name.ends_with(domain) && name[name.size() - domain.size() - 1] == '.';
}

std::optional<std::string> domain_name(std::string_view written)
{
    auto name = dns::to_a_labels(written);
    if (!name || !smtp::is_valid_hostname(*name))
        return std::nullopt;
    return to_lower(*name);
}

std::optional<Canonical> canonical_of(std::string_view word)
{
    if (iequals(word, "simple"))
        return Canonical::simple;
    return iequals(word, "relaxed") ? std::optional(Canonical::relaxed) : std::nullopt;
}

/// Where b= has its value, from its "=" to its ";" or the end.
std::pair<std::size_t, std::size_t> place_of_signature(std::string_view whole)
{
    for (std::size_t at = whole.find(':') + 1; at < whole.size();) {
        const std::size_t end = std::min(whole.find(';', at), whole.size());
        const std::size_t equals = whole.find('=', at);
        if (equals < end && without_space(whole.substr(at, equals - at)) == "b")
            return {equals + 1, end};
        at = end + 1;
    }
    return {whole.size(), whole.size()};
}

}  // namespace

std::string without_signature(std::string_view whole)
{
    if (whole.ends_with('\n'))
        whole.remove_suffix(whole.ends_with("\r\n") ? 2 : 1);
    const auto [begin, end] = place_of_signature(whole);
    return std::string(whole.substr(0, begin)) += whole.substr(end);
}

std::expected<SignatureField, DkimResult> parse_signature(std::string_view body)
{
    const auto no = [](DkimResult why) { return std::unexpected(std::move(why)); };
    const auto tags = TagList::parse(body);
    if (!tags)
        return no(neutral(tags.error().text()));
    const auto said = [&tags](std::string_view name) { return tags->find(name).value_or(""); };
    if (said("v") != "1")
        return no(neutral("unknown version of signature"));
    for (const std::string_view name : {"a", "b", "bh", "d", "h", "s"})
        if (said(name).empty())
            return no(neutral(fmt::format("no {}= in signature", name)));
    SignatureField field;
    const std::string_view algorithm = said("a");
    if (iequals(algorithm, "ed25519-sha256"))
        field.kind = tls::SigningKey::Kind::ed25519;
    else if (iequals(algorithm, "rsa-sha1"))
        field.sha1 = true;
    else if (!iequals(algorithm, "rsa-sha256"))
        return no(neutral("unknown algorithm"));
    const auto domain = domain_name(said("d"));
    // A selector alone need not be a host name: people name keys by the month.
    const auto selector = dns::to_a_labels(said("s"));
    if (!domain || !selector || !smtp::is_valid_hostname("x." + *selector + ".x"))
        return no(neutral("malformed domain or selector"));
    field.domain = *domain;
    field.selector = to_lower(*selector);
    const std::string_view canonical = tags->find("c").value_or("simple/simple");
    const std::size_t slash = std::min(canonical.find('/'), canonical.size());
    const auto header = canonical_of(canonical.substr(0, slash));
    const auto body_form = slash == canonical.size() ? std::optional(Canonical::simple) : canonical_of(canonical.substr(slash + 1));
    if (!header || !body_form)
        return no(neutral("unknown canonicalization"));
    field.header = *header;
    field.body = *body_form;
    if (const auto query = tags->find("q")) {
        const auto ways = colon_words(*query);
        if (std::ranges::none_of(ways, [](std::string_view way) { return iequals(way, "dns/txt"); }))
            return no(neutral("unknown way to ask for the key"));
    }
    for (const auto& [name, value] : {std::pair("l", &field.body_length), std::pair("x", &field.expires)})
        if (const auto written = tags->find(name); written && !(*value = parse_number(*written)))
            return no(neutral(fmt::format("malformed {}= in signature", name)));
    if (const auto written = tags->find("t")) {
        const auto made = parse_number(*written);
        if (!made || (field.expires && *field.expires <= *made))
            return no(neutral("malformed t= in signature"));
    }
    const auto octets = base64_decode(without_space(said("b"))), hash = base64_decode(without_space(said("bh")));
    if (!octets || !hash)
        return no(neutral("malformed b= or bh= in signature"));
    field.octets = *octets;
    field.body_hash = *hash;
    for (const std::string_view name : colon_words(said("h")))
        field.fields.push_back(to_lower(name));
    if (std::ranges::find(field.fields, "from") == field.fields.end())
        return no(permerror("From field not signed"));
    if (const auto identity = tags->find("i")) {
        field.identity = *identity;
        const auto at = identity->rfind('@');
        const auto of = at == identity->npos ? std::nullopt : domain_name(identity->substr(at + 1));
        if (!of || (*of != field.domain && !is_below(*of, field.domain)))
            return no(permerror("identity is not of the signing domain"));
    }
    return field;
}

struct DkimVerifier::One {
    std::string whole;                              // the field
    std::size_t offset = 0;                         // in the head
    SignatureField field;
    std::optional<DkimResult> verdict;             // none yet: it depends on key and message
    std::optional<DkimKey> key;
    const BodyHashes::One* hash = nullptr;
};

DkimVerifier::DkimVerifier(std::string head, Options options, std::chrono::sys_seconds now) : head_(std::move(head)), now_(now)
{
    message::HeaderWalk walk(head_);
    std::vector<std::unique_ptr<One>> all;
    while (const auto field = walk.next()) {
        if (!field->is("DKIM-Signature"))
            continue;
        auto one = std::make_unique<One>();
        one->whole = field->whole;
        one->offset = field->offset;
        if (auto parsed = parse_signature(field->body))
            one->field = *std::move(parsed);
        else
            one->verdict = std::move(parsed).error();
        all.push_back(std::move(one));
        if (all.size() == most_fields)
            break;
    }
    const std::string author = author_of(head_);
    const std::string domain = domain_name(std::string_view(author).substr(author.rfind('@') + 1)).value_or("");
    const auto rank = [&domain](const auto& one) {
        const std::string& by = one->field.domain;
        if (domain.empty() || by.empty())
            return 2;
        return by == domain ? 0 : is_below(domain, by) || is_below(by, domain) ? 1 : 2;
    };
    std::ranges::sort(all, {}, [&rank](const auto& one) { return std::pair(rank(one), one->offset); });
    if (all.size() > options.limit)
        all.resize(options.limit);
    const auto seconds = static_cast<std::uint64_t>(std::max<std::int64_t>(0, now_.time_since_epoch().count()));
    for (const auto& one : all) {
        const SignatureField& field = one->field;
        if (one->verdict)
            continue;
        if (field.sha1)
            one->verdict = permerror("rsa-sha1 is no longer good");                     // RFC 8301 3.1
        else if (field.expires && *field.expires < seconds)
            one->verdict = DkimResult{"policy", "signature expired"};
        if (one->verdict)
            continue;
        one->hash = hashes_.want(field.body, field.body_length);
    }
    signatures_ = std::move(all);
}

DkimVerifier::~DkimVerifier() = default;

std::size_t DkimVerifier::held() const
{
    std::size_t held = head_.size() + hashes_.held();
    for (const auto& one : signatures_)
        held += 4 * one->whole.size();
    return held;
}

void DkimVerifier::add(std::string_view body) { hashes_.add(body); }

awaitable<void> DkimVerifier::ask_for_keys(Ask ask)
{
    co_await at_once(signatures_.size(), signatures_.size(), [this, &ask](std::size_t i) { return ask_for_key(ask, *signatures_[i]); });
}

awaitable<void> DkimVerifier::ask_for_key(const Ask& ask, One& one)
{
    if (one.verdict)
        co_return;
    const dns::Answer answer = co_await ask(fmt::format("{}._domainkey.{}", one.field.selector, one.field.domain), dns::Type::txt);
    if (answer.transient())
        one.verdict = DkimResult{"temperror", "key unavailable"};
    else if (!answer.found() || answer.records.empty())
        one.verdict = permerror("no key for signature");
    if (one.verdict)
        co_return;
    // Of several records the first that is a key.                                                          RFC 6376 3.6.2.2
    std::string reason;
    for (const dns::Record& record : answer.records) {
        auto key = DkimKey::parse(record.text);
        if (key) {
            one.key = *std::move(key);
            break;
        }
        if (reason.empty())
            reason = key.error().text();
    }
    const SignatureField& field = one.field;
    if (!one.key)
        one.verdict = permerror(reason);
    else if (one.key->octets.empty())
        one.verdict = permerror("key revoked");
    else if (one.key->kind != field.kind || !one.key->sha256)
        one.verdict = permerror("key is not for this algorithm");
    else if (!one.key->for_mail)
        one.verdict = permerror("key is not for mail");
    else if (one.key->same_domain && !field.identity.empty() &&
             domain_name(std::string_view(field.identity).substr(field.identity.rfind('@') + 1)) != field.domain)
        one.verdict = permerror("identity is not of the signing domain");
}

/// On a thread of its own: all but RSA is little, but a head may be long.
void DkimVerifier::judge(One& one) const
{
    const SignatureField& field = one.field;
    const auto failed = [&one](std::string reason) {
        one.verdict = one.key->testing ? neutral("key in test: " + reason) : DkimResult{"fail", std::move(reason)};
    };
    if (!one.key || one.hash == nullptr)
        return;
    const BodyHash& hash = one.hash->hash;
    const auto key = tls::VerifyingKey::parse(field.kind, one.key->octets);
    if (!key) {
        one.verdict = permerror("malformed key");
        return;
    }
    if (!one.key->is_fit(key->bits())) {
        one.verdict = DkimResult{"policy", fmt::format("key of {} bits", key->bits())};
        return;
    }
    if (field.body_length && hash.left() > 0)
        return failed("body is shorter than it was signed");
    if (one.hash->value != field.body_hash)
        return failed("body hash did not verify");
    Signature what;
    what.header = field.header;
    what.fields = field.fields;
    // Signatures are signed like other fields, save the one at hand.                                       RFC 6376 3.5, h=
    const bool signs_signatures = std::ranges::find(field.fields, "dkim-signature") != field.fields.end();
    const std::string others = signs_signatures ? std::string(head_).erase(one.offset, one.whole.size()) : std::string();
    if (!key->verify(octets_to_sign(signs_signatures ? others : head_, what, without_signature(one.whole)), field.octets))
        return failed("signature did not verify");
    one.verdict =
        DkimResult{"pass", hash.cut() ? fmt::format("only {} octets of the body are signed", field.body_length.value_or(0)) : std::string()};
}

awaitable<std::vector<Finding>> DkimVerifier::findings(Helpers& threads)
{
    hashes_.finish();
    const auto open = [](const auto& one) { return !one->verdict && one->key; };
    if (std::ranges::any_of(signatures_, open))
        co_await on_thread(threads, [this, &open] {
            for (const auto& one : signatures_)
                if (open(one))
                    judge(*one);
        });
    std::vector<Finding> findings;
    for (const auto& one : signatures_) {
        const SignatureField& field = one->field;
        const DkimResult verdict = one->verdict.value_or(DkimResult{"temperror", "key unavailable"});
        Finding finding{"dkim", verdict.result, verdict.reason, {}};
        if (!field.domain.empty()) {
            finding.properties.push_back({"header", "d", field.domain});
            if (!field.identity.empty())
                finding.properties.push_back({"header", "i", field.identity});
            finding.properties.push_back({"header", "s", field.selector});
            finding.properties.push_back({"header", "a",
                                          field.sha1                                 ? "rsa-sha1"
                                          : field.kind == tls::SigningKey::Kind::rsa ? "rsa-sha256"
                                                                                     : "ed25519-sha256"});
            // Which of several signatures of a domain this is.                                             RFC 6008
            finding.properties.push_back({"header", "b", base64_encode(field.octets).substr(0, 8)});
        }
        findings.push_back(std::move(finding));
    }
    co_return findings;
}

}  // namespace posthorn::mailauth
