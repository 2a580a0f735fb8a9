#include "receive/policy/judge.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

namespace posthorn::receive::policy {

namespace {

constexpr int max_depth = 100;           // classes and access results within each other

/// smtpd_log_access_permit_actions: a table's "OK" is logged for itself.
bool says_so(Kind kind)
{
    return kind != Kind::restriction_class && kind != Kind::check_policy_service &&
           (kind < Kind::check_client_access || kind == Kind::permit_dnswl_client || kind == Kind::permit_rhswl_client);
}

}  // namespace

Law::Law(Executor executor, const Settings& with_settings, tables::Tables& tables, handoff::AddressClasses& address_classes, Names& with_names,
         handoff::Verifier* with_verifier)
    : settings(with_settings), classes(address_classes), names(with_names), verifier(with_verifier),
      login_maps("smtpd_sender_login_maps", settings.login_maps, tables::Flags{.utf8 = settings.utf8}, tables),
      client_certificates("relay_clientcerts", settings.client_certificates, tables::Flags{}, tables),
      list_replies("rbl_reply_maps", settings.list_replies, tables::Flags{}, tables),
      mx_backup_networks(tables::ListKind::hosts, "permit_mx_backup_networks", settings.mx_backup_networks, settings.mx_backup_parent_style, tables),
      logged_permits(tables::ListKind::strings, "smtpd_log_access_permit_actions", settings.log_permit, false, tables)
{
    settings.lists.each([&](const Restriction& restriction) {
        verifies_recipients_ |= restriction.kind == Kind::reject_unverified_recipient;
        const std::string& argument = restriction.argument;
        switch (restriction.kind) {
        case Kind::check_policy_service:
            // What is wrong with it was said when the list was compiled.
            if (auto spec = parse_service(argument, settings.services); spec && !services_.contains(argument))
                services_.emplace(argument, std::make_unique<Service>(executor, *std::move(spec), names));
            break;
        case Kind::reject_rbl_client:
        case Kind::reject_rhsbl:
        case Kind::permit_dnswl_client:
        case Kind::permit_rhswl_client:
            if (auto list = DnsList::parse(argument))
                dns_lists_.emplace(argument, *std::move(list));
            break;
        default:
            if (restriction.has_table() && !tables_.contains(argument))
                tables_.emplace(argument, tables.open(argument, tables::Flags{.utf8 = settings.utf8}));
        }
    });
    for (const std::string& domain : settings.old_lists)
        if (auto list = DnsList::parse(domain))
            dns_lists_.emplace(domain, *std::move(list));
}

tables::Table* Law::table(std::string_view spec) const
{
    const auto found = tables_.find(spec);
    return found == tables_.end() ? nullptr : found->second.get();
}

Service* Law::service(std::string_view spec) const
{
    const auto found = services_.find(spec);
    return found == services_.end() ? nullptr : found->second.get();
}

const DnsList* Law::dns_list(std::string_view spec) const
{
    const auto found = dns_lists_.find(spec);
    return found == dns_lists_.end() ? nullptr : &found->second;
}

void Judge::begin()
{
    reply_.clear();
    at_ = after_lists;
    if_permit_ = {};
    if_reject_ = {};
    warn_ = false;
    trial_.reset();
    recipient_checked_ = sender_checked_ = false;
    standings_.clear();
}

Judge::Subject Judge::subject_of(Stage stage) const
{
    switch (stage) {
    case Stage::client: return {stage, facts_.client, "Client host"};
    case Stage::helo: return {stage, facts_.helo.value_or(""), "Helo command"};
    case Stage::sender: return {stage, facts_.sender.value_or(""), "Sender address"};
    case Stage::data: return {stage, "DATA", "Data command"};
    case Stage::end_of_data: return {stage, "END-OF-MESSAGE", "End-of-data"};
    case Stage::etrn: return {stage, facts_.etrn_domain, "Etrn command"};
    default: return {stage, facts_.recipient.value_or(""), "Recipient address"};
    }
}

Ruling Judge::ruling(Step step)
{
    Ruling ruling;
    if (step == Step::reject)
        ruling.reply = std::move(reply_);
    ruling.hangup = step == Step::hangup;
    return ruling;
}

Judge::Step Judge::refuse(int code, std::string_view status, std::string text, bool error_of_ours)
{
    // The enhanced code follows the reply code's first digit, whatever was configured.
    std::string fitting(status);
    if (!fitting.empty() && code / 100 >= 2)
        fitting[0] = static_cast<char>('0' + code / 100);
    std::string line = fmt::format("{} {} {}", code, fitting, printable(text, true));
    const bool warn = warn_ && !error_of_ours;
    if (trial_ && warn_) {
        const bool itself = at_ == trial_->restriction->word;
        settle(*trial_, error_of_ours || trial_->unsure ? handoff::TrialSeen::UNKNOWN : handoff::TrialSeen::REFUSED,
               itself ? line : fmt::format("{}: {}", at_, line));
    }
    if (!warn && if_reject_.active && line[0] == '5') {
        // Whatever put it off that a permission would have been: that is why the client comes back.
        const Deferral asked = std::exchange(if_reject_, {}), earlier = if_permit_.active ? if_permit_ : asked;
        return refuse(earlier.code, earlier.status, earlier.text);
    }
    if (law_.settings.soft_bounce && line[0] == '5')
        line[0] = line[4] = '4';
    court_.log_what(warn ? "reject_warning" : "reject", line);
    if (warn) {
        court_.would_refuse(at_, line);
        return Step::dunno;
    }
    court_.refused_by(at_, line);
    reply_ = std::move(line);
    return Step::reject;
}

Judge::Step Judge::refuse_subject(int code, std::string_view status, std::string_view name, std::string_view title, std::string_view why)
{
    return refuse(code, status, fmt::format("<{}>: {} rejected: {}", name, title, why));
}

void Judge::defer_if(Deferral& deferral, int code, std::string_view status, std::string text)
{
    if (warn_)
        refuse(code, status, std::move(text));
    else if (!deferral.active)
        deferral = {true, code, std::string(status), std::move(text)};
}

void Judge::settle(Trial& trial, handoff::TrialSeen::Outcome outcome, std::string_view reason)
{
    if (std::exchange(trial.settled, true))
        return;
    const Restriction& restriction = *trial.restriction;
    court_.tried(restriction.argument.empty() ? restriction.word : fmt::format("{} {}", restriction.word, restriction.argument), outcome, reason);
}

void Judge::cannot_ask()
{
    if (trial_)
        trial_->lacks_answers = true;
}

void Judge::cannot_tell()
{
    cannot_ask();
    if (trial_)
        trial_->unsure = true;
}

Judge::Step Judge::settle_deferral()
{
    if (!if_permit_.active)
        return Step::dunno;
    const Deferral pending = std::exchange(if_permit_, {});
    return refuse(pending.code, pending.status, pending.text);
}

/// The latest stage that put something off.
const Deferral* Judge::deferred() const
{
    for (const auto* one : {&facts_.sender_deferral, &facts_.helo_deferral, &facts_.client_deferral})
        if (*one)
            return one->get();
    return nullptr;
}

// A list on its own, at its own command. Before RCPT nothing is settled: a refusal for good may still come.
awaitable<Ruling> Judge::early(Stage stage, bool settles, const Deferral* before)
{
    begin();
    if (before != nullptr)
        if_permit_ = *before;
    Step step = co_await list(law_.settings.lists.of(stage), subject_of(stage), 0);
    if (stage == Stage::sender && step != Step::reject && step != Step::hangup && law_.settings.unlisted_sender && !sender_checked_)
        step = co_await unlisted(facts_.sender, "Sender address", true);
    if (settles && step != Step::reject && step != Step::hangup)
        step = settle_deferral();
    co_return ruling(step);
}

awaitable<Ruling> Judge::client() { return early(Stage::client, false); }
awaitable<Ruling> Judge::helo() { return early(Stage::helo, false, facts_.client_deferral.get()); }
awaitable<Ruling> Judge::sender()
{
    return early(Stage::sender, false, (facts_.helo_deferral ? facts_.helo_deferral : facts_.client_deferral).get());
}
awaitable<Ruling> Judge::data() { return early(Stage::data, true); }
awaitable<Ruling> Judge::end_of_data() { return early(Stage::end_of_data, true); }
awaitable<Ruling> Judge::etrn() { return early(Stage::etrn, true, deferred()); }

awaitable<Ruling> Judge::recipient()
{
    begin();
    const Settings& settings = law_.settings;
    // RFC 5321 4.5.1: postmaster without a domain is always taken.
    if (facts_.recipient && iequals(*facts_.recipient, "postmaster"))
        co_return Ruling{};
    if (const Deferral* const before = deferred())
        if_permit_ = *before;
    std::array stages{Stage::client, Stage::helo, Stage::sender, Stage::relay, Stage::recipient};
    if (!settings.relay_first)
        std::swap(stages[3], stages[4]);
    for (const Stage stage : std::span(stages).subspan(settings.delay_reject ? 0 : 3)) {
        if (stage == Stage::helo && !facts_.helo)                    // smtpd_helo_required demands one
            continue;
        warn_ = false;
        if (stage != stages.back())
            if_reject_ = {};      // each list for itself, but relay and recipient restrictions together
        const RestrictionList& restrictions = settings.lists.of(stage);
        Step step = restrictions.empty() ? Step::dunno : co_await list(restrictions, subject_of(stage), 0);
        if (stage == Stage::sender && step != Step::reject && step != Step::hangup && settings.unlisted_sender && !sender_checked_)
            step = co_await unlisted(facts_.sender, "Sender address", true);
        if (step == Step::reject || step == Step::hangup)
            co_return ruling(step);
    }
    Step step = settle_deferral();
    if (step != Step::reject && settings.unlisted_recipient && !recipient_checked_ && !effects_.discard)
        step = co_await unlisted(facts_.recipient, "Recipient address", false);
    co_return ruling(step);
}

/// Whom a word permits, whatever the list is about.
Judge::Subject Judge::permitted_subject(Kind kind, const Subject& subject) const
{
    switch (kind) {
    case Kind::permit_auth_destination:
    case Kind::permit_mx_backup: return subject_of(Stage::recipient);
    case Kind::permit_mynetworks:
    case Kind::permit_inet_interfaces:
    case Kind::permit_sasl_authenticated:
    case Kind::permit_tls_clientcerts:
    case Kind::permit_tls_all_clientcerts:
    case Kind::permit_dnswl_client:
    case Kind::permit_rhswl_client: return subject_of(Stage::client);
    default: return subject;
    }
}

awaitable<Judge::Step> Judge::permitted(std::string_view action, const Subject& subject, std::string_view from)
{
    if (!law_.settings.log_permit.empty() && !if_permit_.active) {   // else it is overruled
        const auto logged = co_await law_.logged_permits.ask(std::string(action));
        if (logged && *logged)
            court_.log_what("permit", fmt::format("action={} for {}={} {}", action, subject.title, subject.name, from));
    }
    co_return Step::permit;
}

awaitable<Judge::Step> Judge::list(const RestrictionList& restrictions, Subject subject, int depth)
{
    if (depth > max_depth) {
        court_.log_warning(fmt::format("restriction lists within each other more than {} deep", max_depth));
        co_return refuse(451, "4.3.5", "Server configuration error", true);
    }
    const bool warned_before = warn_;
    for (std::size_t at = 0; at < restrictions.size(); ++at) {
        if (effects_.discard)                                        // who throws it away has the last word
            co_return Step::dunno;
        const Restriction& restriction = restrictions[at];
        if (restriction.kind == Kind::warn_if_reject) {
            warn_ = true;
            continue;
        }
        const std::string_view around = std::exchange(at_, restriction.word);
        const bool on_trial = warn_ && !trial_;
        if (on_trial)
            trial_ = Trial{&restriction};
        if (trial_)
            trial_->unsure = false;
        const Step step = co_await one(restriction, subject, depth);
        if (on_trial) {
            const bool known = !trial_->lacks_answers || step == Step::permit;
            if (step != Step::hangup)                                 // that is done, warn_if_reject or not
                settle(*trial_, known ? handoff::TrialSeen::PASSED : handoff::TrialSeen::UNKNOWN, known ? "" : "who was asked had no answer");
            trial_.reset();
        }
        at_ = around;
        warn_ = warned_before;
        if (step == Step::permit && says_so(restriction.kind) && !law_.settings.log_permit.empty())
            co_await permitted(restriction.word, permitted_subject(restriction.kind, subject), "");
        if (step != Step::dunno)
            co_return step;
    }
    co_return Step::dunno;
}

awaitable<Judge::Step> Judge::one(const Restriction& restriction, const Subject& subject, int depth)
{
    const Settings& settings = law_.settings;
    switch (restriction.kind) {
    case Kind::permit: co_return Step::permit;
    case Kind::reject: co_return refuse_subject(settings.reject, "5.7.1", subject.name, subject.title, "Access denied");
    case Kind::defer: co_return refuse_subject(settings.defer, "4.3.2", subject.name, subject.title, "Try again later");
    case Kind::restriction_class: co_return co_await list(*restriction.members, subject, depth + 1);
    case Kind::warn_if_reject: co_return Step::dunno;
    case Kind::defer_if_permit:
        defer_if(if_permit_, 450, "4.7.0", fmt::format("<{}>: {} rejected: defer_if_permit requested", subject.name, subject.title));
        co_return Step::dunno;
    case Kind::defer_if_reject:
        defer_if(if_reject_, 450, "4.7.0", fmt::format("<{}>: {} rejected: defer_if_reject requested", subject.name, subject.title));
        co_return Step::dunno;

    case Kind::permit_mynetworks: co_return co_await my_networks(subject.name);
    case Kind::permit_sasl_authenticated: co_return court_.session_facts().sasl_username.empty() ? Step::dunno : Step::permit;
    case Kind::permit_tls_clientcerts: co_return co_await known_certificate(false);
    case Kind::permit_tls_all_clientcerts: co_return co_await known_certificate(true);
    case Kind::permit_inet_interfaces: co_return law_.classes.own_address(facts_.client_address) ? Step::permit : Step::dunno;
    case Kind::permit_naked_ip_address:
        court_.log_warning(fmt::format("restriction {} is deprecated. Use permit_mynetworks or permit_sasl_authenticated instead", restriction.word));
        co_return facts_.helo && (smtp::is_ipv4(*facts_.helo) || smtp::is_ipv6(*facts_.helo)) ? Step::permit : Step::dunno;
    case Kind::permit_mx_backup: co_return co_await mx_backup();
    case Kind::permit_auth_destination: co_return co_await auth_destination(false, true);
    case Kind::reject_unauth_destination: co_return co_await auth_destination(false, false);
    case Kind::defer_unauth_destination: co_return co_await auth_destination(true, false);

    case Kind::reject_unauth_pipelining:
        co_return facts_.pipelined_early ? refuse_subject(503, "5.5.0", subject.name, subject.title, "Improper use of SMTP command pipelining")
                                         : Step::dunno;
    case Kind::reject_plaintext_session: co_return facts_.tls ? Step::dunno : refuse(settings.plaintext, "4.7.1", "Session encryption is required");
    case Kind::reject_multi_recipient_bounce:
        // At RCPT the recipient in question is not counted yet.
        co_return facts_.sender&& facts_.sender->empty() && facts_.recipients + (subject.stage < Stage::data ? 1 : 0) > 1
            ? refuse_subject(settings.multi_recipient_bounce, "5.5.3", facts_.recipient.value_or(""), "Recipient address", "Multi-recipient bounce")
            : Step::dunno;

    case Kind::reject_unknown_client_hostname: co_return unknown_client();
    case Kind::reject_unknown_reverse_client_hostname: co_return unknown_reverse_client();
    case Kind::reject_invalid_helo_hostname: co_return invalid_helo();
    case Kind::reject_non_fqdn_helo_hostname: co_return non_fqdn_helo();
    case Kind::reject_unknown_helo_hostname: co_return co_await unknown_helo();
    case Kind::reject_non_fqdn_sender: co_return non_fqdn_address(facts_.sender, "Sender address");
    case Kind::reject_non_fqdn_recipient: co_return non_fqdn_address(facts_.recipient, "Recipient address");
    case Kind::reject_unknown_sender_domain: co_return co_await unknown_domain(facts_.sender, "Sender address", true);
    case Kind::reject_unknown_recipient_domain: co_return co_await unknown_domain(facts_.recipient, "Recipient address", false);
    case Kind::reject_unlisted_sender: co_return co_await unlisted(facts_.sender, "Sender address", true);
    case Kind::reject_unlisted_recipient: co_return co_await unlisted(facts_.recipient, "Recipient address", false);

    case Kind::reject_unverified_sender: co_return co_await unverified(facts_.sender, "Sender address", true);
    case Kind::reject_unverified_recipient: co_return co_await unverified(facts_.recipient, "Recipient address", false);

    case Kind::check_client_access:
    case Kind::check_reverse_client_hostname_access:
    case Kind::check_helo_access:
    case Kind::check_sender_access:
    case Kind::check_recipient_access:
    case Kind::check_etrn_access: co_return co_await access(restriction, subject, depth);
    case Kind::check_ccert_access: co_return co_await certificate_access(restriction, depth);
    case Kind::check_sasl_access: co_return co_await login_access(restriction, depth);
    case Kind::check_server_access: co_return co_await server_access(restriction, depth);
    case Kind::check_policy_service: co_return co_await policy_service(restriction, subject, depth);

    case Kind::reject_spf_fail: co_return co_await spf_fail();
    case Kind::reject_rbl_client: co_return co_await address_list(restriction.argument, false);
    case Kind::permit_dnswl_client: co_return co_await address_list(restriction.argument, true);
    case Kind::reject_maps_rbl: co_return co_await old_address_lists();
    case Kind::reject_rhsbl:
    case Kind::permit_rhswl_client: co_return co_await domain_list(restriction, subject);

    case Kind::reject_sender_login_mismatch:
    case Kind::reject_authenticated_sender_login_mismatch:
    case Kind::reject_unauthenticated_sender_login_mismatch:
    case Kind::reject_known_sender_login_mismatch: co_return co_await login_mismatch(restriction);

    case Kind::sleep:
        if (!court_.rehearsal()) {
            co_await court_.before_wait();
            co_await sleep_for(std::chrono::seconds{parse_number(restriction.argument).value_or(0)});
        }
        co_return Step::dunno;
    }
    co_return refuse(451, "4.3.5", "Server configuration error", true);
}

awaitable<Result<handoff::AddressStanding>> Judge::standing(std::string address)
{
    if (const auto known = standings_.find(address); known != standings_.end())
        co_return known->second;
    if (!law_.classes.in_memory())
        co_await court_.before_wait();
    auto answer = co_await law_.classes.standing(address);
    standings_.emplace(address, answer);
    co_return answer;
}

}  // namespace posthorn::receive::policy
