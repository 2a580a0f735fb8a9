// Who the client has proved to be: by SASL (sender addresses that belong to a login) and by its TLS certificate.
#include "base/strings.hpp"
#include "receive/policy/judge.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::receive::policy {

namespace {

/// A user alone is looked up where the domain is ours; that was asked before.
class Known final : public tables::LocalDomains {
public:
    explicit Known(bool local) : local_(local) {}
    Result<bool> local(tables::Lookups&, std::string_view) const override { return local_; }

private:
    bool local_;
};

}  // namespace

awaitable<Judge::Step> Judge::login_mismatch(const Restriction& restriction)
{
    const Kind kind = restriction.kind;
    const bool anybody = kind == Kind::reject_sender_login_mismatch;
    if (!law_.settings.logins) {
        // Postfix's words: the one is the two others together.
        for (const std::string_view word : {"reject_authenticated_sender_login_mismatch", "reject_unauthenticated_sender_login_mismatch"})
            if (anybody)
                court_.log_warning(fmt::format("restriction `{}' ignored: no SASL support", word));
        if (!anybody)
            court_.log_warning(fmt::format("restriction `{}' ignored: no SASL support", restriction.word));
        co_return Step::dunno;
    }
    if (!facts_.sender || facts_.sender->empty())
        co_return Step::dunno;
    const std::string sender = *facts_.sender, login = court_.session_facts().sasl_username;
    const bool known_only = kind == Kind::reject_known_sender_login_mismatch;
    if (login.empty() && !anybody && !known_only && kind != Kind::reject_unauthenticated_sender_login_mismatch)
        co_return Step::dunno;
    if (!login.empty() && kind == Kind::reject_unauthenticated_sender_login_mismatch)
        co_return Step::dunno;

    const auto class_of = co_await standing(sender);
    if (!class_of) {
        court_.log_warning(class_of.error().text());
        co_return refuse(451, "4.3.0", fmt::format("<{}>: Temporary lookup failure", sender), true);
    }
    const Known own(class_of->address_class == handoff::AddressClass::local);
    if (std::ranges::any_of(law_.login_maps.tables(), [](const auto& table) { return !table->in_memory(); }))
        co_await court_.before_wait();
    const auto owners = co_await tables::settle(
        [&](tables::Lookups& lookups) { return law_.login_maps.find_address(lookups, sender, law_.settings.delimiter, &own); });
    if (!owners) {
        court_.log_warning(owners.error().text());
        co_return refuse(451, "4.3.0", fmt::format("<{}>: Temporary lookup failure", sender), true);
    }
    const auto& list = *owners;
    if (login.empty())
        co_return list ? refuse(553, "5.7.1", fmt::format("<{}>: Sender address rejected: not logged in", sender)) : Step::dunno;
    const bool owned =
        list ? std::ranges::any_of(split(list->value, ", \t\r\n"), [&](std::string_view name) { return iequals(name, login); }) : known_only;
    co_return owned ? Step::dunno : refuse(553, "5.7.1", fmt::format("<{}>: Sender address rejected: not owned by user {}", sender, login));
}

awaitable<Judge::Step> Judge::login_access(const Restriction& restriction, int depth)
{
    if (!law_.settings.logins) {
        court_.log_warning(fmt::format("restriction `{}' ignored: no SASL support", restriction.word));
        co_return Step::dunno;
    }
    const std::string login = court_.session_facts().sasl_username;
    if (login.empty())
        co_return Step::dunno;
    const AccessKeys keys{{login, false}};
    const Subject about{Stage::recipient, login, "SASL login name"};
    co_return (co_await first_of(keys, restriction.argument, about, depth)).value_or(Step::dunno);
}

awaitable<Judge::Step> Judge::certificate_access(const Restriction& restriction, int depth)
{
    const ClientCertificate certificate = court_.session_facts().certificate;
    if (certificate.fingerprint.empty() && certificate.key_fingerprint.empty())
        co_return Step::dunno;
    AccessKeys keys;
    if (restriction.order.empty())
        keys = {{certificate.fingerprint, false}, {certificate.key_fingerprint, false}};
    for (const std::string& key : restriction.order)
        keys.push_back({key == "cert_fingerprint" ? certificate.fingerprint : certificate.key_fingerprint, false});
    // The certificate is said to be the client.
    const Subject about{Stage::recipient, facts_.client, "Client certificate"};
    co_return (co_await first_of(keys, restriction.argument, about, depth)).value_or(Step::dunno);
}

// permit_tls_clientcerts: relay_clientcerts lists one of its fingerprints. permit_tls_all_clientcerts: our authorities vouch for it.
awaitable<Judge::Step> Judge::known_certificate(bool all)
{
    const ClientCertificate certificate = court_.session_facts().certificate;
    if (all)
        co_return certificate.trusted ? Step::permit : Step::dunno;
    for (const std::string* key : {&certificate.fingerprint, &certificate.key_fingerprint}) {
        if (key->empty() || law_.client_certificates.empty())
            continue;
        const auto found = co_await law_.client_certificates.lookup(*key);
        if (!found)
            co_return refuse(451, "4.3.0", fmt::format("<{}>: Temporary lookup failure", facts_.client), true);
        if (*found)
            co_return Step::permit;
    }
    co_return Step::dunno;
}

}  // namespace posthorn::receive::policy
