// Who signs: the DKIM helper's file, or signers of the policy's own, as dkim_sign_maps and dkim_key_maps.
#include "base/strings.hpp"
#include "kumomta/translator.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::kumomta {

namespace {

constexpr std::string_view key_folder = "/opt/kumomta/etc/dkim";   // of the helper, where a key's file is not named
constexpr OptionFact signing_facts[] = {
    {"headers", left_out, "dkim_sign_fields are one for all signatures: the base's, else the first's"},
    {"header_canonicalization", left_out, "dkim_canonicalization is one for all signatures"},
    {"body_canonicalization", left_out, "dkim_canonicalization is one for all signatures"},
    {"over_sign", left_out, "dkim_oversign_fields are one for all signatures"},
    {"expiration", left_out, "dkim_signature_lifetime is one for all signatures"},
    {"policy", left_out, "a signature is made whatever the DNS says of the key"},
    {"algo", nothing_needed, "the key says it"},
    {"vault_mount", left_out, "keys are files: bring them here"},
    {"vault_path_prefix", left_out, "keys are files: bring them here"},
};

bool is_host_name(std::string_view name)
{
    return !name.empty() && std::ranges::all_of(name, [](char c) { return is_alnum(c) || c == '.' || c == '-' || c == '_'; });
}

std::string pattern(std::string_view domain)
{
    std::string made;
    for (const char c : domain)
        made += c == '.' ? "\\." : std::string(1, c);
    return made;
}

}  // namespace

/// The key of a signature. False: it cannot be made; nothing signs with it.
bool PolicyTranslator::signature(const Block& block, const std::string& domain, std::string& selector)
{
    const Value* const base = policy_.signing.find("base");
    selector = block.table.word_of("selector");
    if (selector.empty() && base)
        selector = base->word_of("selector");
    if (!is_host_name(domain) || !is_host_name(selector)) {
        judge(block.table.place, block.where, "signature", Kind::left_out, "its domain or selector is not certain");
        return false;
    }
    std::string file = block.table.word_of("filename");
    if (base && base->find("vault_mount")) {
        judge(block.table.place, block.where, "signature", Kind::left_out,
              fmt::format("its key is in a vault: a file of it, and an entry {} in dkim_sign_maps", selector));
        return false;
    }
    if (file.empty())
        file = fmt::format("{}/{}/{}.key", key_folder, domain, selector);
    if (!file.starts_with('/') || file.find_first_of(" \t\n#") != file.npos || !machine_.exists(file)) {
        judge(block.table.place, block.where, "key '" + printable(file, true) + "'", Kind::left_out,
              fmt::format("there is no such file on this machine: nothing is signed for {}", domain));
        for (const char* option : {"filename", "selector", "domain"})
            judge(block, option, Kind::left_out, "a signature that is not made");
        return false;
    }
    keys_[fmt::format("{}._domainkey.{}", selector, domain)] = file;
    judge(block, "filename", Kind::becomes, "dkim_key_maps");
    judge(block, "selector", Kind::becomes, "dkim_sign_maps");
    judge(block, "domain", Kind::becomes, "dkim_sign_maps");
    return true;
}

void PolicyTranslator::signing_base(const Block& base)
{
    // What is one for all here: the base's, else that of the first who says it.
    const auto said = [&](std::string_view option) -> const Value* {
        if (const Value* const own = base.table.find(option))
            return own;
        for (const char* section : {"domain", "signature"})
            if (const Value* const blocks = policy_.signing.find(section))
                for (const Entry& entry : blocks->entries)
                    if (const Value* const own = entry.value.find(option))
                        return own;
        return nullptr;
    };
    if (const Value* const headers = said("headers"); headers && !headers->words().empty()) {
        std::vector<std::string> names = headers->words();
        std::erase_if(names, [](const std::string& name) { return !is_host_name(name); });
        const std::string fields = fmt::format("{}", fmt::join(names, ", "));
        set("dkim_sign_fields", fields, headers->place, "headers");
        judge(base, "headers", Kind::becomes, "dkim_sign_fields");
        set("dkim_oversign_fields", said("over_sign") && said("over_sign")->boolean ? fields : "", headers->place, "over_sign");
    }
    judge(base, "over_sign", Kind::becomes, "dkim_oversign_fields");
    const Value *const header = said("header_canonicalization"), *const body = said("body_canonicalization");
    const auto form = [](const Value* value) { return value && iequals(value->text, "simple") ? "simple" : "relaxed"; };
    set("dkim_canonicalization", fmt::format("{}/{}", form(header), form(body)), base.table.place, "canonicalization");
    judge(base, "header_canonicalization", Kind::becomes, "dkim_canonicalization");
    judge(base, "body_canonicalization", Kind::becomes, "dkim_canonicalization");
    const Value* const time = said("expiration");
    if (const long long seconds = time ? seconds_of(*time).value_or(0) : 0; seconds > 0) {
        set("dkim_signature_lifetime", time_text(seconds), time->place, "expiration");
        judge(base, "expiration", Kind::becomes, "dkim_signature_lifetime");
    }
    judge(base, "selector", Kind::becomes, "the selector where a domain names none");
    judge(base, "additional_signatures", Kind::becomes, "further selectors in dkim_sign_maps");
    judge(base, "policy", Kind::nothing_needed, "a signature is always made");
    rest(base, signing_facts);
}

void PolicyTranslator::signing()
{
    if (!policy_.signing.is_table())
        return;
    static const Value none;
    const Value *const base = policy_.signing.find("base"), *const signatures = policy_.signing.find("signature"),
                       *const domains = policy_.signing.find("domain");
    const Block base_block{base ? *base : none, "DKIM base"};
    std::string always, fallback;                                  // "DOMAIN:SELECTOR ..." behind an author's own; for who has none
    const Value* const named = base_block.table.find("additional_signatures");
    for (const std::string& name : named ? named->words() : std::vector<std::string>()) {
        const Value* const entry = signatures ? signatures->find(name) : nullptr;
        if (!entry)
            continue;
        const Block block{*entry, "DKIM signature " + name};
        const bool missing_only = entry->word_of("policy") == "OnlyIfMissingDomainBlock";
        judge(block, "policy", Kind::becomes, missing_only ? "for authors without a line of their own" : "in each line of dkim_sign_maps");
        std::string selector;
        if (!signature(block, entry->word_of("domain"), selector))
            continue;
        const std::string word = fmt::format(", {}:{}", entry->word_of("domain"), selector);
        fallback += word;
        if (!missing_only)
            always += word;
    }
    std::string lines;
    for (const Entry& entry : domains ? domains->entries : std::vector<Entry>()) {
        const Block block{entry.value, "DKIM domain " + entry.name};
        std::string selector;
        const std::string domain = entry.name;
        // Without a key of its own an author still has the others.
        const bool own = signature(block, domain, selector);
        const std::string all = (own ? ", " + selector : "") + (own ? always : fallback);
        if (!all.empty())
            lines += fmt::format("/@{}$/ {}\n", pattern(domain), all.substr(2));
    }
    if (!fallback.empty())
        lines += fmt::format("/./ {}\n", fallback.substr(2));
    signing_base(base_block);
    for (const char* section : {"domain", "signature"})
        if (const Value* const blocks = policy_.signing.find(section))
            for (const Entry& entry : blocks->entries)
                rest({entry.value, fmt::format("DKIM {} {}", section, entry.name)}, signing_facts);
    if (lines.empty())
        return;
    set("dkim_sign_maps", add_table("dkim_authors", "pcre", lines), policy_.signing.place, "DKIM");
    std::string files;
    for (const auto& [name, file] : keys_)
        files += fmt::format("{} {}\n", name, file);
    set("dkim_key_maps", add_table("dkim_keys", "texthash", files), policy_.signing.place, "DKIM: the keys stay where they are");
}

}  // namespace posthorn::kumomta
