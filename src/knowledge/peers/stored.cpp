#include "peers/stored.hpp"

#include "peers/stored.pb.h"

#include <algorithm>
#include <cmath>

namespace posthorn::peers {

namespace {

constexpr std::uint32_t version = 1;
constexpr std::size_t text_octets = 300, marks_at_most = quirk_count, addresses_at_most = 8;

std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }
WallTime time_of(std::int64_t micros) { return WallTime{std::chrono::microseconds{micros}}; }
std::optional<Quirk> quirk_of(std::uint32_t number) { return number < quirk_count ? std::optional(static_cast<Quirk>(number)) : std::nullopt; }
std::string cut(const std::string& text) { return text.substr(0, text_octets); }

void put(const Candidate& from, stored::Candidate* to)
{
    to->set_number(from.number);
    to->set_seen(from.seen);
}
Candidate candidate_of(const stored::Candidate& from) { return {from.number(), from.seen()}; }

}  // namespace

std::string octets_of(const Record& record)
{
    stored::Peer made;
    made.set_version(version);
    made.set_address(cut(record.peer.address));
    made.set_banner_host(cut(record.peer.banner_host));
    made.set_site(cut(record.peer.site));
    made.set_first(micros(record.first));
    made.set_last(micros(record.last));
    made.set_sessions(record.sessions);
    made.set_keywords_clear(record.keywords_clear);
    made.set_keywords_tls(record.keywords_tls);
    for (const WallTime change : record.changes)
        made.add_changes(micros(change));
    made.set_removed(micros(record.removed));
    made.set_tls_worked(micros(record.tls_worked));
    made.set_tls_alarm(micros(record.tls_alarm));
    made.set_discards_bdat_until(micros(record.discards_bdat_until));
    for (const Mark& mark : record.marks) {
        stored::Mark& one = *made.add_marks();
        one.set_quirk(static_cast<std::uint32_t>(mark.quirk));
        one.set_convicted(mark.convicted);
        one.set_try_without(mark.try_without);
        one.set_number(mark.number);
        one.set_sightings(mark.sightings);
        one.set_with_ok(mark.tally.with_ok);
        one.set_with_failed(mark.tally.with_failed);
        one.set_without_ok(mark.tally.without_ok);
        one.set_without_failed(mark.tally.without_failed);
        one.set_first(micros(mark.first));
        one.set_last(micros(mark.last));
        one.set_since(micros(mark.since));
        one.set_until(micros(mark.until));
        one.set_canary(micros(mark.canary));
        one.set_clean_canaries(mark.clean_canaries);
        one.set_seen(cut(mark.seen));
        one.set_told_by(cut(mark.told_by));
        one.set_worked(micros(mark.worked));
    }
    made.set_recipients_per_mail(record.limits.recipients_per_mail);
    made.set_mails_per_session(record.limits.mails_per_session);
    made.set_errors_per_session(record.limits.errors_per_session);
    made.set_sessions_at_once(record.limits.sessions);
    made.set_limits_until(micros(record.limits_until));
    for (const Cleared& cleared : record.cleared) {
        stored::Cleared& one = *made.add_cleared();
        one.set_quirk(static_cast<std::uint32_t>(cleared.quirk));
        one.set_when(micros(cleared.when));
        one.set_told_by(cut(cleared.told_by));
    }
    made.set_told_recipients_per_mail(record.told_limits.limits.recipients_per_mail);
    made.set_told_errors_per_session(record.told_limits.limits.errors_per_session);
    made.set_told_limits_until(micros(record.told_limits.until));
    made.set_limits_told_by(cut(record.told_limits.told_by));
    put(record.recipients, made.mutable_recipients());
    put(record.errors, made.mutable_errors());
    put(record.close_after, made.mutable_close_after());
    for (const std::uint32_t count : record.slowest)
        made.add_slowest(count);
    return made.SerializeAsString();
}

std::optional<Record> record_of(std::string_view octets)
{
    stored::Peer from;
    if (!from.ParseFromArray(octets.data(), static_cast<int>(octets.size())) || from.version() != version)
        return std::nullopt;
    Record record;
    record.peer = {from.address(), from.banner_host(), from.site()};
    record.first = time_of(from.first());
    record.last = time_of(from.last());
    record.sessions = from.sessions();
    record.keywords_clear = from.keywords_clear();
    record.keywords_tls = from.keywords_tls();
    for (int i = 0; i < from.changes_size() && i < static_cast<int>(record.changes.size()); ++i)
        record.changes[static_cast<std::size_t>(i)] = time_of(from.changes(i));
    record.removed = time_of(from.removed());
    record.tls_worked = time_of(from.tls_worked());
    record.tls_alarm = time_of(from.tls_alarm());
    record.discards_bdat_until = time_of(from.discards_bdat_until());
    for (const stored::Mark& one : from.marks()) {
        const auto quirk = quirk_of(one.quirk());
        if (!quirk || class_of(*quirk) == QuirkClass::security || record.marks.size() == marks_at_most)
            continue;
        Mark& mark = record.marks.emplace_back();
        mark.quirk = *quirk;
        mark.convicted = one.convicted();
        mark.try_without = one.try_without();
        mark.number = one.number();
        mark.sightings = one.sightings();
        mark.tally = {one.with_ok(), one.with_failed(), one.without_ok(), one.without_failed()};
        mark.first = time_of(one.first());
        mark.last = time_of(one.last());
        mark.since = time_of(one.since());
        mark.until = time_of(one.until());
        mark.canary = time_of(one.canary());
        mark.clean_canaries = one.clean_canaries();
        mark.seen = cut(one.seen());
        mark.told_by = cut(one.told_by());
        mark.worked = time_of(one.worked());
    }
    record.limits = {from.recipients_per_mail(), from.mails_per_session(), from.errors_per_session(), from.sessions_at_once()};
    record.limits_until = time_of(from.limits_until());
    for (const stored::Cleared& one : from.cleared())
        if (const auto quirk = quirk_of(one.quirk()); quirk && record.cleared.size() < marks_at_most)
            record.cleared.push_back({*quirk, time_of(one.when()), cut(one.told_by())});
    record.told_limits = {{.recipients_per_mail = from.told_recipients_per_mail(), .errors_per_session = from.told_errors_per_session()},
                          time_of(from.told_limits_until()),
                          cut(from.limits_told_by())};
    record.recipients = candidate_of(from.recipients());
    record.errors = candidate_of(from.errors());
    record.close_after = candidate_of(from.close_after());
    for (int i = 0; i < from.slowest_size() && i < static_cast<int>(record.slowest.size()); ++i)
        record.slowest[static_cast<std::size_t>(i)] = from.slowest(i);
    return record;
}

std::string octets_of_forgotten(WallTime when)
{
    stored::Forgotten made;
    made.set_version(version);
    made.set_when(micros(when));
    return made.SerializeAsString();
}

std::optional<WallTime> forgotten_of(std::string_view octets)
{
    stored::Forgotten from;
    if (!from.ParseFromArray(octets.data(), static_cast<int>(octets.size())) || from.version() != version)
        return std::nullopt;
    return time_of(from.when());
}

std::string octets_of(const SiteRecord& record)
{
    stored::Site made;
    made.set_version(version);
    made.set_last(micros(record.last));
    for (const SiteRecord::Shared& shared : record.shared) {
        stored::Shared& one = *made.add_shared();
        one.set_quirk(static_cast<std::uint32_t>(shared.quirk));
        one.set_number(shared.number);
        one.set_until(micros(shared.until));
        for (const std::string& address : shared.addresses)
            one.add_addresses(cut(address));
    }
    return made.SerializeAsString();
}

std::optional<SiteRecord> site_of(std::string_view octets)
{
    stored::Site from;
    if (!from.ParseFromArray(octets.data(), static_cast<int>(octets.size())) || from.version() != version)
        return std::nullopt;
    SiteRecord record;
    record.last = time_of(from.last());
    for (const stored::Shared& one : from.shared()) {
        const auto quirk = quirk_of(one.quirk());
        if (!quirk || class_of(*quirk) != QuirkClass::speed || record.shared.size() == quirk_count)
            continue;
        SiteRecord::Shared& shared = record.shared.emplace_back();
        shared.quirk = *quirk;
        shared.number = one.number();
        shared.until = time_of(one.until());
        for (int i = 0; i < one.addresses_size() && i < static_cast<int>(addresses_at_most); ++i)
            shared.addresses.push_back(cut(one.addresses(i)));
    }
    return record;
}

std::string octets_of(const EarlyRecord& record)
{
    stored::EarlyAddress made;
    made.set_version(version);
    for (const EarlyHost& host : record.hosts) {
        stored::EarlyHost& one = *made.add_hosts();
        one.set_banner_host(cut(host.banner_host));
        one.set_clear(host.clear);
        one.set_tls(host.tls);
        for (const WallTime when : host.clean)
            one.add_clean(micros(when));
        one.set_last(micros(host.last));
    }
    made.set_off_until(micros(record.off_until));
    made.set_crowded(micros(record.crowded));
    made.set_last(micros(record.last));
    made.set_path_suspected(micros(record.path.suspected));
    made.set_path_until(micros(record.path.until));
    made.set_path_lost(record.path.lost);
    made.set_path_told_by(cut(record.path.told_by));
    return made.SerializeAsString();
}

std::optional<EarlyRecord> early_record_of(std::string_view octets)
{
    stored::EarlyAddress from;
    if (!from.ParseFromArray(octets.data(), static_cast<int>(octets.size())) || from.version() != version)
        return std::nullopt;
    EarlyRecord record;
    for (const stored::EarlyHost& one : from.hosts()) {
        if (record.hosts.size() == EarlyRecord::hosts_at_most)
            break;
        EarlyHost& host = record.hosts.emplace_back();
        host.banner_host = cut(one.banner_host());
        host.clear = one.clear();
        host.tls = one.tls();
        for (int i = 0; i < one.clean_size() && i < static_cast<int>(host.clean.size()); ++i)
            host.clean[static_cast<std::size_t>(i)] = time_of(one.clean(i));
        host.last = time_of(one.last());
    }
    record.off_until = time_of(from.off_until());
    record.crowded = time_of(from.crowded());
    record.last = time_of(from.last());
    record.path = {time_of(from.path_suspected()), time_of(from.path_until()), from.path_lost(), cut(from.path_told_by())};
    return record;
}

namespace {

constexpr std::uint32_t sessions_believed = 10'000, wait_believed = 7 * 86'400;

stored::Manners stored_of(const Manners& manners)
{
    stored::Manners made;
    made.set_version(1);
    made.set_sessions(manners.sessions);
    made.set_sessions_until(micros(manners.sessions_until));
    made.set_greylists_until(micros(manners.greylists_until));
    made.set_passed(static_cast<std::uint32_t>(manners.passed.count()));
    made.set_refused(static_cast<std::uint32_t>(manners.refused.count()));
    made.set_last(micros(manners.last));
    return made;
}

Manners value_of(const stored::Manners& from)
{
    Manners made;
    made.sessions = std::min(from.sessions(), sessions_believed);
    made.sessions_until = time_of(from.sessions_until());
    made.greylists_until = time_of(from.greylists_until());
    made.passed = std::chrono::seconds{std::min(from.passed(), wait_believed)};
    made.refused = std::chrono::seconds{std::min(from.refused(), wait_believed)};
    made.last = time_of(from.last());
    return made;
}

}  // namespace

std::string octets_of(const Manners& manners) { return stored_of(manners).SerializeAsString(); }

std::optional<Manners> manners_of(std::string_view octets)
{
    stored::Manners from;
    if (!from.ParseFromArray(octets.data(), static_cast<int>(octets.size())) || from.version() != 1)
        return std::nullopt;
    return value_of(from);
}

stored::Observed frame_of(const std::string& name, const Manners& manners)
{
    stored::Observed made;
    made.set_manners_of(cut(name));
    *made.mutable_manners() = stored_of(manners);
    return made;
}

std::pair<std::string, Manners> manners_of(const stored::Observed& frame) { return {cut(frame.manners_of()), value_of(frame.manners())}; }

namespace {

constexpr std::uint32_t step_believed = 3'600;
constexpr double rate_believed = 1e9;

stored::Restraint stored_of(const Restraint& restraint)
{
    stored::Restraint made;
    made.set_version(1);
    made.set_ceiling(restraint.ceiling);
    made.set_peak(restraint.peak);
    made.set_refused_at(restraint.refused_at);
    made.set_step(static_cast<std::uint32_t>(restraint.step.count()));
    made.set_raised(micros(restraint.raised));
    made.set_per_minute(restraint.per_minute);
    made.set_before(restraint.before);
    made.set_quickened(micros(restraint.quickened));
    made.set_silent_until(micros(restraint.silent_until));
    made.set_until(micros(restraint.until));
    made.set_last(micros(restraint.last));
    made.set_said(cut(restraint.said));
    for (const std::string& site : restraint.sites)
        if (static_cast<std::size_t>(made.sites_size()) < restrained_sites)
            made.add_sites(cut(site));
    return made;
}

/// Between never and the year 9999: time is reckoned with it, which must not overflow.
WallTime moment_of(std::int64_t micros) { return std::clamp(time_of(micros), WallTime{}, WallTime{std::chrono::seconds{253'402'300'799}}); }

/// A rate that is no number, or below one a minute, would stop a site for good.
double rate_of(double stored) { return std::isfinite(stored) && stored > 0 ? std::clamp(stored, 1.0, rate_believed) : 0; }

Restraint value_of(const stored::Restraint& from)
{
    Restraint made;
    made.ceiling = std::min(from.ceiling(), sessions_believed);
    made.peak = std::clamp(from.peak(), made.ceiling, sessions_believed);
    made.refused_at = std::min(from.refused_at(), sessions_believed);
    made.step = std::chrono::seconds{std::clamp<std::uint32_t>(from.step(), 1, step_believed)};
    made.raised = moment_of(from.raised());
    made.per_minute = rate_of(from.per_minute());
    made.before = std::max(rate_of(from.before()), made.per_minute);
    made.quickened = moment_of(from.quickened());
    made.last = moment_of(from.last());
    made.silent_until = std::min(moment_of(from.silent_until()), made.last + std::chrono::seconds{wait_believed});
    made.until = moment_of(from.until());
    made.said = cut(from.said());
    for (const std::string& site : from.sites())
        if (made.sites.size() < restrained_sites)
            made.sites.push_back(cut(site));
    return made;
}

}  // namespace

std::string octets_of(const Restraint& restraint) { return stored_of(restraint).SerializeAsString(); }

std::optional<Restraint> restraint_of(std::string_view octets)
{
    stored::Restraint from;
    if (!from.ParseFromArray(octets.data(), static_cast<int>(octets.size())) || from.version() != 1)
        return std::nullopt;
    return value_of(from);
}

stored::Observed frame_of(const std::string& set, const std::optional<Restraint>& restraint)
{
    stored::Observed made;
    made.set_restrained(cut(set));
    if (restraint)
        *made.mutable_restraint() = stored_of(*restraint);
    return made;
}

std::pair<std::string, std::optional<Restraint>> restraint_of(const stored::Observed& frame)
{
    return {cut(frame.restrained()), frame.has_restraint() ? std::optional(value_of(frame.restraint())) : std::nullopt};
}

namespace {

std::optional<Aspect> aspect_of(std::uint32_t number) { return number < aspect_count ? std::optional(static_cast<Aspect>(number)) : std::nullopt; }

/// A feature has a name that one can be announced by; what else has one was named by us.
bool fits(Aspect aspect, const std::string& name)
{
    return (aspect == Aspect::feature || aspect == Aspect::feature_in_tls) ? is_feature_name(name) : name.size() <= name_octets;
}
std::string face_value(const std::string& text) { return value_of_face(text, mx_octets); }

stored::Change stored_of(const Change& change)
{
    stored::Change made;
    made.set_kind(static_cast<std::uint32_t>(change.kind));
    made.set_aspect(static_cast<std::uint32_t>(change.aspect));
    made.set_name(change.name);
    made.set_before(change.before);
    made.set_now(change.now);
    made.set_since(micros(change.since));
    made.set_told(micros(change.told));
    made.set_grave(change.grave);
    made.set_why(change.why);
    return made;
}

std::optional<Change> value_of(const stored::Change& from)
{
    const auto aspect = aspect_of(from.aspect());
    if (!aspect || from.kind() >= change_kinds || !fits(*aspect, from.name()))
        return std::nullopt;
    Change made;
    made.kind = static_cast<ChangeKind>(from.kind());
    made.aspect = *aspect;
    made.name = value_of_face(from.name(), name_octets);
    made.before = face_value(from.before());
    made.now = face_value(from.now());
    made.since = moment_of(from.since());
    made.told = moment_of(from.told());
    made.grave = from.grave();
    made.why = face_value(from.why());
    return made;
}

stored::Trait stored_of(const Trait& trait)
{
    stored::Trait made;
    made.set_aspect(static_cast<std::uint32_t>(trait.aspect));
    made.set_name(trait.name);
    made.set_value(trait.value);
    made.set_seen(trait.seen);
    made.set_other(trait.other);
    made.set_others(trait.others);
    made.set_mixed(trait.mixed);
    made.set_since(micros(trait.since));
    made.set_varies(trait.varies);
    made.set_told(micros(trait.told));
    return made;
}

std::optional<Trait> value_of(const stored::Trait& from)
{
    const auto aspect = aspect_of(from.aspect());
    if (!aspect || !fits(*aspect, from.name()))
        return std::nullopt;
    Trait made;
    made.aspect = *aspect;
    made.name = value_of_face(from.name(), name_octets);
    made.value = face_value(from.value());
    made.seen = std::min(from.seen(), settled_after);
    made.other = face_value(from.other());
    made.others = std::min(from.others(), calm_after);
    made.mixed = from.mixed();
    made.since = moment_of(from.since());
    made.varies = from.varies();
    made.told = moment_of(from.told());
    return made;
}

stored::Face stored_of(const Face& face)
{
    stored::Face made;
    for (const Face::Seen& seen : face.seen) {
        stored::FaceSeen& one = *made.add_seen();
        one.set_aspect(static_cast<std::uint32_t>(seen.aspect));
        one.set_name(seen.name);
        one.set_value(seen.value);
    }
    made.set_clear(face.clear);
    made.set_in_tls(face.in_tls);
    made.set_starttls_known(face.starttls_known);
    made.set_expires(micros(face.expires));
    made.set_lifetime(static_cast<std::uint64_t>(std::max<std::int64_t>(face.lifetime.count(), 0)));
    made.set_authenticated(face.authenticated);
    made.set_mx_set(face.mx_set);
    made.set_port(face.port);
    return made;
}

Face value_of(const stored::Face& from)
{
    constexpr std::uint64_t life_believed = std::uint64_t{100} * 366 * 86'400;
    constexpr int seen_at_most = 2 * face_features + static_cast<int>(aspect_count);
    Face made;
    for (int i = 0; i < std::min(from.seen_size(), seen_at_most); ++i) {
        const stored::FaceSeen& one = from.seen(i);
        const auto aspect = aspect_of(one.aspect());
        if (!aspect || *aspect == Aspect::mx_set || *aspect == Aspect::limit || !fits(*aspect, one.name()))
            continue;
        std::string name = value_of_face(one.name(), name_octets), value = value_of_face(one.value());
        if ((*aspect == Aspect::feature || *aspect == Aspect::feature_in_tls) && value.empty())
            continue;                                                   // would be one that was not offered
        if (std::ranges::none_of(made.seen, [&](const Face::Seen& before) { return before.aspect == *aspect && before.name == name; }))
            made.seen.push_back({*aspect, std::move(name), std::move(value)});
    }
    made.clear = from.clear();
    made.in_tls = from.in_tls();
    made.starttls_known = from.starttls_known();
    made.expires = moment_of(from.expires());
    made.lifetime = std::chrono::seconds{std::min(from.lifetime(), life_believed)};
    made.authenticated = from.authenticated();
    made.mx_set = value_of_face(from.mx_set(), mx_octets);
    made.port = static_cast<std::uint16_t>(std::min<std::uint32_t>(from.port(), 65'535));
    return made;
}

}  // namespace

std::string octets_of(const Portrait& portrait)
{
    stored::Portrait made;
    made.set_version(1);
    made.set_address(cut(portrait.peer.address));
    made.set_banner_host(cut(portrait.peer.banner_host));
    made.set_site(cut(portrait.peer.site));
    made.set_last(micros(portrait.last));
    made.set_clear(portrait.clear);
    made.set_in_tls(portrait.in_tls);
    for (const Trait& trait : portrait.traits)
        *made.add_traits() = stored_of(trait);
    for (const Change& change : portrait.changes)
        *made.add_changes() = stored_of(change);
    made.set_good_certificate(portrait.good_certificate);
    for (const auto& [expires, over] : portrait.expiries) {
        stored::Expiry& one = *made.add_expiries();
        one.set_expires(micros(expires));
        one.set_over(over);
    }
    made.set_expiry_told(micros(portrait.expiry_told));
    return made.SerializeAsString();
}

std::optional<Portrait> portrait_of(std::string_view octets)
{
    stored::Portrait from;
    if (!from.ParseFromArray(octets.data(), static_cast<int>(octets.size())) || from.version() != 1)
        return std::nullopt;
    Portrait made;
    made.peer = {cut(from.address()), cut(from.banner_host()), cut(from.site())};
    made.last = moment_of(from.last());
    made.clear = std::min(from.clear(), settled_after);
    made.in_tls = std::min(from.in_tls(), settled_after);
    for (const stored::Trait& one : from.traits())
        if (auto trait = value_of(one); trait && made.traits.size() < portrait_traits)
            made.traits.push_back(*std::move(trait));
    for (const stored::Change& one : from.changes())
        if (auto change = value_of(one); change && made.changes.size() < portrait_changes)
            made.changes.push_back(*std::move(change));
    made.good_certificate = from.good_certificate();
    for (int i = 0; i < std::min(from.expiries_size(), static_cast<int>(portrait_expiries)); ++i)
        made.expiries.emplace_back(moment_of(from.expiries(i).expires()), from.expiries(i).over());
    made.expiry_told = moment_of(from.expiry_told());
    return made;
}

stored::Observed frame_of(const Observation& observation)
{
    stored::Observed made;
    made.set_address(cut(observation.peer.address));
    made.set_banner_host(cut(observation.peer.banner_host));
    made.set_site(cut(observation.peer.site));
    made.set_when(micros(observation.when));
    made.set_tls(observation.tls);
    made.set_tls_failed(observation.tls_failed);
    made.set_whole(observation.whole);
    made.set_keywords_clear(observation.keywords_clear);
    made.set_keywords_tls(observation.keywords_tls);
    made.set_canary(observation.canary.text());
    for (const Sighting& sighting : observation.sightings) {
        stored::Sighting& one = *made.add_sightings();
        one.set_quirk(static_cast<std::uint32_t>(sighting.quirk));
        one.set_kind(static_cast<std::uint32_t>(sighting.kind));
        one.set_number(sighting.number);
        one.set_seen(cut(sighting.seen));
    }
    made.set_mails(observation.mails);
    made.set_ended_after(observation.ended_after);
    made.set_recipients(observation.recipients);
    made.set_errors(observation.errors);
    made.set_errors_told(observation.errors_told);
    made.set_recipients_told(observation.recipients_told);
    made.set_discards_bdat(observation.discards_bdat ? 1 + static_cast<unsigned>(*observation.discards_bdat) : 0);
    made.set_milliseconds(observation.milliseconds);
    made.set_early_clear(observation.early_clear);
    made.set_early_tls(observation.early_tls);
    made.set_early_clean(observation.early_clean);
    made.set_early_granted(observation.early_granted);
    made.set_early_refused(observation.early_refused);
    made.set_early_seen(cut(observation.early_seen));
    made.set_path_small(observation.path.small);
    made.set_path_lost(observation.path.lost);
    made.set_path_arrived(observation.path.arrived);
    if (observation.face != Face{})
        *made.mutable_face() = stored_of(observation.face);
    return made;
}

Observation observation_of(const stored::Observed& frame)
{
    Observation made;
    made.peer = {cut(frame.address()), cut(frame.banner_host()), cut(frame.site())};
    made.when = time_of(frame.when());
    made.tls = frame.tls();
    made.tls_failed = frame.tls_failed();
    made.whole = frame.whole();
    made.keywords_clear = frame.keywords_clear();
    made.keywords_tls = frame.keywords_tls();
    made.canary = Quirks::parse(frame.canary()).value_or(Quirks{});
    for (const stored::Sighting& one : frame.sightings()) {
        const auto quirk = quirk_of(one.quirk());
        if (!quirk || one.kind() > static_cast<std::uint32_t>(Sighting::Kind::worked_without) || made.sightings.size() == 2 * quirk_count)
            continue;
        made.sightings.push_back({*quirk, static_cast<Sighting::Kind>(one.kind()), one.number(), cut(one.seen())});
    }
    made.mails = frame.mails();
    made.ended_after = frame.ended_after();
    made.recipients = frame.recipients();
    made.errors = frame.errors();
    made.errors_told = frame.errors_told();
    made.recipients_told = frame.recipients_told();
    if (frame.discards_bdat() != 0)
        made.discards_bdat = frame.discards_bdat() == 2;
    made.milliseconds = frame.milliseconds();
    made.early_clear = frame.early_clear();
    made.early_tls = frame.early_tls();
    made.early_clean = frame.early_clean();
    made.early_granted = frame.early_granted();
    made.early_refused = frame.early_refused();
    made.early_seen = cut(frame.early_seen());
    made.path = {.small = frame.path_small(), .lost = frame.path_lost(), .arrived = frame.path_arrived()};
    made.face = value_of(frame.face());
    return made;
}

}  // namespace posthorn::peers
