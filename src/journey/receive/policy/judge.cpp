#include "receive/policy/judge.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::receive::policy {

namespace {

constexpr int max_depth = 100;           // classes and access results within each other

}  // namespace

Law::Law(const Settings& with_settings, tables::Tables& tables, handoff::AddressClasses& address_classes, Names& with_names,
         handoff::Verifier* with_verifier)
    : settings(with_settings), classes(address_classes), names(with_names), verifier(with_verifier)
{
    const Lists& lists = settings.lists;
    for (const auto* list : {&lists.client, &lists.helo, &lists.sender, &lists.relay, &lists.recipient, &lists.data, &lists.end_of_data, &lists.etrn})
        open(*list, tables);
    for (const auto& [name, members] : lists.classes)
        open(*members, tables);
}

void Law::open(const RestrictionList& list, tables::Tables& tables)
{
    for (const Restriction& restriction : list) {
        verifies_recipients_ |= restriction.kind == Kind::reject_unverified_recipient;
        if (!restriction.table.empty() && !tables_.contains(restriction.table))
            tables_.emplace(restriction.table, tables.open(restriction.table, tables::Flags{.utf8 = settings.utf8}));
        if (restriction.members)
            open(*restriction.members, tables);
    }
}

tables::Table* Law::table(std::string_view spec) const
{
    const auto found = tables_.find(spec);
    return found == tables_.end() ? nullptr : found->second.get();
}

void Judge::begin()
{
    reply_.clear();
    if_permit_ = {};
    if_reject_ = {};
    warn_ = false;
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
    if (!warn && if_reject_.active && line[0] == '5') {
        const Deferral earlier = std::exchange(if_reject_, {});
        return refuse(earlier.code, earlier.status, earlier.text);
    }
    if (law_.settings.soft_bounce && line[0] == '5')
        line[0] = line[4] = '4';
    court_.log_what(warn ? "reject_warning" : "reject", line);
    if (warn)
        return Step::dunno;
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

Judge::Step Judge::settle_deferral()
{
    if (!if_permit_.active)
        return Step::dunno;
    const Deferral pending = std::exchange(if_permit_, {});
    return refuse(pending.code, pending.status, pending.text);
}

// A list on its own, at its own command (smtpd_delay_reject = no), or as a part of RCPT.
awaitable<Ruling> Judge::early(Stage stage)
{
    begin();
    Step step = co_await list(law_.settings.lists.of(stage), subject_of(stage), 0);
    if (step != Step::reject && step != Step::hangup)
        step = settle_deferral();
    co_return ruling(step);
}

awaitable<Ruling> Judge::client() { return early(Stage::client); }
awaitable<Ruling> Judge::helo() { return early(Stage::helo); }
awaitable<Ruling> Judge::data() { return early(Stage::data); }
awaitable<Ruling> Judge::end_of_data() { return early(Stage::end_of_data); }
awaitable<Ruling> Judge::etrn() { return early(Stage::etrn); }

awaitable<Ruling> Judge::sender()
{
    begin();
    Step step = co_await list(law_.settings.lists.sender, subject_of(Stage::sender), 0);
    if (step != Step::reject && step != Step::hangup && law_.settings.unlisted_sender && !sender_checked_)
        step = co_await unlisted(facts_.sender, "Sender address", true);
    if (step != Step::reject && step != Step::hangup)
        step = settle_deferral();
    co_return ruling(step);
}

awaitable<Ruling> Judge::recipient()
{
    begin();
    const Settings& settings = law_.settings;
    // RFC 5321 4.5.1: postmaster without a domain is always taken.
    if (facts_.recipient && iequals(*facts_.recipient, "postmaster"))
        co_return Ruling{};
    std::vector<Stage> stages;
    if (settings.delay_reject)
        stages = {Stage::client, Stage::helo, Stage::sender};
    stages.push_back(settings.relay_first ? Stage::relay : Stage::recipient);
    stages.push_back(settings.relay_first ? Stage::recipient : Stage::relay);
    for (const Stage stage : stages) {
        warn_ = false;
        if (stage != stages.back())
            if_reject_ = {};      // each list for itself, but relay and recipient restrictions together
        Step step = co_await list(settings.lists.of(stage), subject_of(stage), 0);
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

awaitable<Judge::Step> Judge::list(const RestrictionList& restrictions, Subject subject, int depth)
{
    if (depth > max_depth) {
        court_.log_warning(fmt::format("restriction lists within each other more than {} deep", max_depth));
        co_return refuse(451, "4.3.5", "Server configuration error", true);
    }
    const bool warned_before = warn_;
    for (std::size_t at = 0; at < restrictions.size(); ++at) {
        const Restriction& restriction = restrictions[at];
        if (restriction.kind == Kind::warn_if_reject) {
            warn_ = true;
            continue;
        }
        const Step step = co_await one(restriction, subject, depth);
        warn_ = warned_before;
        if (step == Step::permit && std::ranges::find(law_.settings.log_permit, to_lower(restriction.word)) != law_.settings.log_permit.end())
            court_.log_what("permit", fmt::format("action={} for {}={}", restriction.word, subject.title, subject.name));
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

    case Kind::permit_mynetworks: co_return co_await my_networks();
    // No client has authenticated itself, by SASL or certificate, and none is on an address of ours: these never permit.
    case Kind::permit_sasl_authenticated:
    case Kind::permit_tls_clientcerts:
    case Kind::permit_inet_interfaces: co_return Step::dunno;
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
