#include "mailauth/signer.hpp"

#include "base/strings.hpp"
#include "mailauth/arc_sets.hpp"
#include "mailauth/tags.hpp"
#include "message/address_list.hpp"
#include "message/header.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::mailauth {

namespace {

constexpr std::size_t most_keys = 10'000;             // a few KiB each

/// Results may be removed on the way, and the chain grows there.                                                        RFC 8617 4.1.2
std::vector<std::string> fit_for_seal(std::vector<std::string> names)
{
    std::erase_if(names, [](const std::string& name) { return name == "authentication-results" || is_arc_field(name); });
    return names;
}

/// Why no set is added, and otherwise nothing.                                                                           RFC 8617 5.1 step 2, 4.2.1
std::string reason_against_seal(const ArcSets& chain)
{
    if (chain.highest >= most_arc_sets)
        return fmt::format("the chain has {} sets", chain.highest);
    const auto tags = TagList::parse(chain.sets.empty() ? std::string_view() : chain.sets.back().body[of_seal]);
    return tags && iequals(tags->find("cv").value_or(""), "fail") ? "the chain had failed before" : "";
}

tables::Flags of_keys()
{
    tables::Flags flags;
    flags.file_values = true;
    return flags;
}

}  // namespace

std::string author_of(std::string_view head)
{
    const auto from = message::find_field(head, "from");
    if (!from)
        return {};
    for (const message::Address& address : message::parse_address_list(from->body).addresses)
        if (!address.malformed && !address.mailbox.domain.empty())
            return address.mailbox.local + "@" + to_lower(address.mailbox.domain);
    return {};
}

Signer::Signer(Options options, tables::Tables& tables, Helpers& threads, const Clock& clock, observe::Log log)
    : options_(std::move(options)), sign_maps_("dkim_sign_maps", options_.sign_maps, {}, tables),
      key_maps_("dkim_key_maps", options_.key_maps, of_keys(), tables), threads_(threads), clock_(clock), log_(std::move(log))
{
}

/// What the table says of the author, and the domain that signs where a selector has none of its own. None: it says nothing.
Result<std::optional<Signer::Listed>> Signer::listed(tables::Lookups& lookups, const std::string& author) const
{
    std::string key = author.substr(author.rfind('@') + 1);
    TRY(auto found, sign_maps_.find(lookups, author));
    if (found)
        return Listed{*std::move(found), std::move(key)};
    while (!key.empty()) {
        TRY(found, sign_maps_.find(lookups, key, tables::KeyKind::piece));
        if (found)
            return Listed{*std::move(found), key.substr(key.starts_with('.') ? 1 : 0)};
        const auto dot = key.find('.', 1);
        key = dot == key.npos ? std::string() : key.substr(dot);
    }
    return std::nullopt;
}

awaitable<Result<std::vector<Signer::Wanted>>> Signer::wanted(std::string author)
{
    CO_TRY(const auto found, co_await tables::settle([this, &author](tables::Lookups& lookups) { return listed(lookups, author); }));
    std::vector<Wanted> signatures;
    const Listed said = found.value_or(Listed{});
    for (const std::string_view word : split(said.value, " \t\r\n,")) {
        if (iequals(word, "none"))
            continue;
        const auto colon = word.find(':');
        Wanted one;
        one.domain = colon == word.npos ? said.domain : to_lower(word.substr(0, colon));
        one.selector = colon == word.npos ? word : word.substr(colon + 1);
        if (colon == word.npos && !smtp::is_valid_hostname(one.domain, true))
            continue;                                                      // whatever a pattern says of it: no name can have its key
        if (!smtp::is_valid_hostname(one.domain) || !is_selector(one.selector))
            co_return Error{fmt::format("dkim_sign_maps: {}: {} is no SELECTOR and no DOMAIN:SELECTOR", printable(author), printable(word)), "4.3.5"};
        signatures.push_back(std::move(one));
    }
    co_return signatures;
}

awaitable<Result<std::shared_ptr<const tls::SigningKey>>> Signer::key(std::string name)
{
    CO_TRY(const auto value, co_await key_maps_.lookup(name));
    if (!value)
        co_return Error{fmt::format("dkim_key_maps: no key for {}", name), "4.3.5"};
    if (const auto known = keys_.find(*value); known != keys_.end())
        co_return known->second;
    const auto pem = base64_decode(*value);
    if (!pem)
        co_return Error{fmt::format("dkim_key_maps: the value for {} is no base64: is the table made by postmap -F?", name), "4.3.5"};
    auto parsed = tls::SigningKey::parse(*pem);
    if (!parsed)
        co_return Error{fmt::format("dkim_key_maps: {}: {}", name, parsed.error().text()), "4.3.5"};
    if (keys_.size() >= most_keys)
        keys_.clear();
    co_return keys_[*value] = std::make_shared<const tls::SigningKey>(*std::move(parsed));
}

awaitable<Result<std::string>> Signer::sign(std::string queue_id, std::string head, std::string body_hash, Canonical body)
{
    const std::string author = author_of(head);
    if (author.empty())
        co_return std::string();
    CO_TRY(const auto signatures, co_await wanted(author));
    std::string fields;
    for (const Wanted& one : signatures) {
        CO_TRY(const auto key, co_await this->key(fmt::format("{}._domainkey.{}", one.selector, one.domain)));
        Signature signature;
        signature.domain = one.domain;
        signature.selector = one.selector;
        signature.algorithm = key->kind();
        signature.header = options_.header;
        signature.body = body;
        signature.made_at = std::chrono::floor<std::chrono::seconds>(clock_.wall());
        signature.valid_for = options_.valid_for;
        signature.body_hash = body_hash;
        signature.fields = fields_to_sign(head, options_.fields, options_.oversigned);
        const std::string field = unsigned_field(signature);
        const std::string octets = octets_to_sign(head, signature, field);
        CO_TRY(const std::string signed_octets, co_await on_thread(threads_, [&] { return key->sign(octets); }));
        fields += signed_field(field, signed_octets);
        log_.info("{}: DKIM-Signature field added (s={}, d={})", queue_id, one.selector, one.domain);
    }
    co_return fields;
}

awaitable<Result<std::string>> Signer::seal(std::string queue_id, std::string head, std::string body_hash, Canonical body, std::string results,
                                            std::string status)
{
    const ArcSets chain(head);
    if (const std::string why = reason_against_seal(chain); !why.empty()) {
        log_.info("{}: no ARC-Seal field added: {}", queue_id, why);
        co_return std::string();
    }
    CO_TRY(const auto key, co_await this->key(fmt::format("{}._domainkey.{}", options_.seal_selector, options_.seal_domain)));
    Signature signature;
    signature.instance = chain.highest + 1;
    signature.domain = options_.seal_domain;
    signature.selector = options_.seal_selector;
    signature.algorithm = key->kind();
    signature.header = options_.header;
    signature.body = body;
    signature.made_at = std::chrono::floor<std::chrono::seconds>(clock_.wall());
    signature.body_hash = std::move(body_hash);
    std::vector<std::string> fields = fit_for_seal(options_.fields);
    if (std::ranges::find(fields, "dkim-signature") == fields.end())
        fields.emplace_back("dkim-signature");
    signature.fields = fields_to_sign(head, fields, fit_for_seal(options_.oversigned));

    // Of a chain that failed nothing is signed but the set that says so.                                            RFC 8617 5.1.2
    std::string before;
    if (status == "pass")
        for (const ArcFields& set : chain.sets)
            before += arc_octets(set.whole[of_results], set.whole[of_message], set.whole[of_seal]) + "\r\n";
    const std::string said = fmt::format("ARC-Authentication-Results: i={}; {}\r\n", signature.instance, results);
    const auto made = [&]() -> Result<std::string> {
        std::string message = unsigned_field(signature), seal = unsigned_seal(signature, status);
        TRY(const std::string message_octets, key->sign(octets_to_sign(head, signature, message)));
        message = signed_field(std::move(message), message_octets);
        TRY(const std::string seal_octets, key->sign(before + arc_octets(said, message, seal)));
        return signed_field(std::move(seal), seal_octets) + message + said;
    };
    CO_TRY(std::string set, co_await on_thread(threads_, made));
    log_.info("{}: ARC-Seal field added (i={}, cv={}, s={}, d={})", queue_id, signature.instance, status, signature.selector, signature.domain);
    co_return set;
}

}  // namespace posthorn::mailauth
