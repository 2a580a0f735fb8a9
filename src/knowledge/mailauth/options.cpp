#include "mailauth/options.hpp"

#include "base/strings.hpp"
#include "mailauth/params.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::mailauth {

namespace {

Canonical canonical(const std::string& value, std::string_view word)
{
    if (iequals(word, "relaxed"))
        return Canonical::relaxed;
    if (iequals(word, "simple"))
        return Canonical::simple;
    throw config::BadValue(fmt::format("bad configuration: {} = {}: expected relaxed or simple, for header/body", dkim_canonicalization.name, value));
}

std::vector<std::string> field_names(const config::Snapshot& snapshot, const Param<std::string>& param)
{
    std::vector<std::string> names;
    for (const std::string_view word : split(snapshot.get(param), " \t\r\n,")) {
        if (!std::ranges::all_of(word, [](char c) { return c > ' ' && c < '\x7f' && c != ':' && c != ';'; }))
            throw config::BadValue(fmt::format("bad configuration: {}: {} is no name of a field", param.name, word));
        if (std::string name = to_lower(word); std::ranges::find(names, name) == names.end())
            names.push_back(std::move(name));
    }
    return names;
}

bool leaves_out_milters(std::string_view overrides)
{
    return std::ranges::any_of(split(overrides, " \t\r\n,"), [](std::string_view one) { return iequals(one, "no_milters"); });
}

}  // namespace

/// Labels of letters, digits, - and _; of digits alone, too: people name keys by the month.                       RFC 6376 3.1
bool is_selector(std::string_view word)
{
    const auto labels = split_exact(word, '.');
    return std::ranges::all_of(labels, [](std::string_view label) {
        return !label.empty() && label.size() <= 63 &&
               std::ranges::all_of(label, [](char c) { return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' || c == '_'; });
    });
}

Options Options::from(const config::Snapshot& snapshot)
{
    Options options;
    options.sign_maps = snapshot.get(dkim_sign_maps);
    options.key_maps = snapshot.get(dkim_key_maps);
    const std::string value = snapshot.get(dkim_canonicalization);
    const auto slash = std::min(value.find('/'), value.size());
    options.header = canonical(value, trim(std::string_view(value).substr(0, slash)));
    // Without a word for the body it is simple, as in the field itself.                                    RFC 6376 3.5, c=
    options.body = slash == value.size() ? Canonical::simple : canonical(value, trim(std::string_view(value).substr(slash + 1)));
    options.fields = field_names(snapshot, dkim_sign_fields);
    if (std::ranges::find(options.fields, "from") == options.fields.end())
        options.fields.insert(options.fields.begin(), "from");
    options.oversigned = field_names(snapshot, dkim_oversign_fields);
    options.valid_for = snapshot.get(dkim_signature_lifetime);
    if (options.seal_selector = snapshot.get(arc_sign_selector); !options.seal_selector.empty()) {
        options.seal_domain = to_lower(snapshot.get(arc_sign_domain));
        if (!is_selector(options.seal_selector))
            throw config::BadValue(
                fmt::format("bad configuration: {} = {}: expected the selector of a key", arc_sign_selector.name, options.seal_selector));
        if (!smtp::is_valid_hostname(options.seal_domain))
            throw config::BadValue(fmt::format("bad configuration: {} = {}: expected a domain", arc_sign_domain.name, options.seal_domain));
    }
    return options;
}

CheckOptions CheckOptions::from(const config::Snapshot& snapshot, std::string_view overrides)
{
    CheckOptions options;
    for (const std::string_view word : split(snapshot.get(mailauth_checks), " \t\r\n,")) {
        if (iequals(word, "dkim"))
            options.dkim = true;
        else if (iequals(word, "spf"))
            options.spf = true;
        else if (iequals(word, "arc"))
            options.arc = true;
        else if (iequals(word, "dmarc"))
            options.dkim = options.spf = options.dmarc = true;
        else
            throw config::BadValue(
                fmt::format("bad configuration: {}: {} is no check: expected dkim, spf, dmarc or arc", mailauth_checks.name, word));
    }
    for (const std::string_view domain : split(snapshot.get(mailauth_trusted_sealers), " \t\r\n,")) {
        if (!smtp::is_valid_hostname(domain.substr(domain.starts_with('.') ? 1 : 0)))
            throw config::BadValue(fmt::format("bad configuration: {}: {} is no domain", mailauth_trusted_sealers.name, domain));
        options.trusted_sealers.emplace_back(domain);
    }
    options.arc |= options.dmarc && !options.trusted_sealers.empty();
    if (const Options signing = Options::from(snapshot); !signing.seal_selector.empty() && options.any()) {
        options.arc = true;
        options.sealed_body = signing.body;
    }
    options.reject = snapshot.get(dmarc_reject);
    const std::string quarantine = snapshot.get(dmarc_quarantine);
    options.hold = iequals(quarantine, "hold");
    if (!options.hold && !iequals(quarantine, "none"))
        throw config::BadValue(fmt::format("bad configuration: {} = {}: expected none or hold", dmarc_quarantine.name, quarantine));
    options.service_id = snapshot.get(mailauth_service_id);
    options.timeout = snapshot.get(mailauth_timeout);
    options.dkim_limit = static_cast<std::size_t>(snapshot.get(dkim_verify_limit));
    return leaves_out_milters(overrides) ? CheckOptions{} : options;
}

std::optional<Canonical> signed_body(const config::Snapshot& snapshot, std::string_view overrides)
{
    const Options options = Options::from(snapshot);
    if (options.sign_maps.empty() || leaves_out_milters(overrides))
        return std::nullopt;
    return options.body;
}

}  // namespace posthorn::mailauth
