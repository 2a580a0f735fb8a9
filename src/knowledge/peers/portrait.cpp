#include "peers/portrait.hpp"

#include "base/strings.hpp"
#include "peers/learn.hpp"
#include "peers/record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posthorn::peers {

namespace {

/// Of a run of sessions, while something comes and goes: so many at a time are worth a write.
constexpr std::uint32_t run_kept = 10;

bool of_features(Aspect aspect) { return aspect == Aspect::feature || aspect == Aspect::feature_in_tls; }

class Looker {
public:
    Looker(Portrait& portrait, const Wants& wants, WallTime now) : portrait_(portrait), wants_(wants), now_(now) {}

    Look run(const Face& face)
    {
        authenticated_ = face.authenticated;
        for (const Face::Seen& seen : face.seen)
            meet(seen.aspect, seen.name, seen.value);
        miss(face);
        count(portrait_.clear, face.clear);
        count(portrait_.in_tls, face.in_tls);
        note_certificate(face);
        return finish();
    }

    Look run(const Limits& limits)
    {
        for (const auto& [name, number] :
             {std::pair{"recipients per mail", limits.recipients_per_mail}, {"errors per session", limits.errors_per_session}})
            if (number != 0)
                note_limit(name, std::to_string(number));
        return finish();
    }

private:
    Look finish()
    {
        // What is usually not offered is not kept: it need not be said of each feature that there is.
        keep_out(portrait_.traits,
                 [](const Trait& one) { return of_features(one.aspect) && one.value.empty() && one.others == 0 && one.seen >= settled_after; });
        keep_out(portrait_.changes, [&](const Change& old) { return !within(old.told, changes_kept, now_); });
        if (!within(portrait_.last, seen_again, now_)) {
            portrait_.last = now_;
            look_.altered = true;
        }
        return std::move(look_);
    }

    template <class All, class Is>
    void keep_out(All& all, const Is& is)
    {
        if (std::erase_if(all, is) != 0)
            look_.altered = true;
    }

    void count(std::uint32_t& sessions, bool whole)
    {
        if (!whole || sessions >= settled_after)
            return;
        ++sessions;
        look_.altered = true;
    }

    Trait* find(Aspect aspect, std::string_view name)
    {
        const auto at = std::ranges::find_if(portrait_.traits, [&](const Trait& one) { return one.aspect == aspect && one.name == name; });
        return at == portrait_.traits.end() ? nullptr : &*at;
    }

    /// A feature that was not there so far counts as one that was seen to be absent as often as there were lists without it.
    Trait* make(Aspect aspect, std::string_view name)
    {
        if (portrait_.traits.size() >= portrait_traits)
            return nullptr;
        look_.altered = true;
        Trait& made = portrait_.traits.emplace_back();
        made.aspect = aspect;
        made.name = name;
        made.seen = aspect == Aspect::feature ? portrait_.clear : aspect == Aspect::feature_in_tls ? portrait_.in_tls : 0;
        return &made;
    }

    void meet(Aspect aspect, const std::string& name, const std::string& value)
    {
        Trait* known = find(aspect, name);
        if (!known)
            known = make(aspect, name);
        if (known)
            weigh(*known, value);
    }

    /// What a whole list does not name was not offered.
    void miss(const Face& face)
    {
        for (Trait& known : portrait_.traits) {
            const bool listed =
                std::ranges::any_of(face.seen, [&](const Face::Seen& one) { return one.aspect == known.aspect && one.name == known.name; });
            const bool asked = known.aspect == Aspect::feature_in_tls ? face.in_tls
                               : known.aspect == Aspect::feature      ? face.clear || (face.starttls_known && known.name == "STARTTLS")
                                                                      : false;
            if (asked && !listed)
                weigh(known, {});
        }
    }

    void weigh(Trait& known, const std::string& value)
    {
        if (known.varies)
            watch(known, value);
        else if (value == known.value)
            same(known);
        else if (known.seen < settled_after) {
            // What is another each time, as the host of a farm, is not worth a write each time.
            look_.altered = look_.altered || known.seen > 1;
            known = {.aspect = known.aspect, .name = known.name, .value = value, .seen = 1, .told = known.told};
        } else
            other(known, value);
    }

    void same(Trait& known)
    {
        if (known.others != 0) {
            came_back(known);
            look_.altered = true;
        } else if (known.seen < settled_after) {
            ++known.seen;
            look_.altered = true;
        }
    }

    void run_on(Trait& known, const std::string& value)
    {
        if (known.others == 0) {
            known.since = now_;
            known.mixed = false;
        } else if (known.other != value)
            known.mixed = true;
        known.other = value;
        ++known.others;
        look_.altered = true;
    }

    void other(Trait& known, const std::string& value)
    {
        run_on(known, value);
        const bool lasts = known.others >= changed_after && now_ - known.since >= changed_over;
        if (lasts || known.others >= changed_at_once)
            settle(known);
    }

    /// It is told, and is now what is usual; several values in turn have to settle first.
    void settle(Trait& known)
    {
        tell(known);
        known = {.aspect = known.aspect, .name = known.name, .value = known.other, .seen = known.mixed ? 1 : settled_after, .told = known.told};
    }

    void came_back(Trait& known)
    {
        const std::string meanwhile = known.other;
        const WallTime since = known.since;
        known.other = known.value;
        known.others = 1;
        known.since = now_;
        known.varies = !known.value.empty() || !of_features(known.aspect);
        if (!known.varies) {
            known.others = 0;                                           // it appeared for a moment: nobody counted on it
            return;
        }
        if (known.aspect == Aspect::host || within(known.told, varies_told_every, now_))
            return;
        known.told = now_;
        Change change{
            .kind = ChangeKind::varies, .aspect = known.aspect, .name = known.name, .before = known.value, .now = meanwhile, .since = since};
        judge(change);
        add(std::move(change));
    }

    /// While it comes and goes, the account is of the run that lasts. Short ones are not kept: the kept one is broken, or less than it is by a few.
    void watch(Trait& known, const std::string& value)
    {
        if (value != known.other) {
            look_.altered = look_.altered || known.others >= run_kept;
            known.other = value;
            known.others = 0;
            known.since = now_;
        }
        if (known.others < calm_after && ++known.others % run_kept == 0)
            look_.altered = true;
        if (known.others < calm_after || now_ - known.since < calm_over)
            return;
        known.mixed = false;
        if (known.other != known.value)
            tell(known);
        known = {.aspect = known.aspect, .name = known.name, .value = known.other, .seen = settled_after, .told = known.told};
        look_.altered = true;
    }

    void tell(const Trait& known)
    {
        const bool feature = of_features(known.aspect);
        Change change{
            .kind = ChangeKind::other, .aspect = known.aspect, .name = known.name, .before = known.value, .now = known.other, .since = known.since};
        if (feature && known.other.empty())
            change.kind = ChangeKind::gone;
        else if (feature && known.value.empty())
            change.kind = ChangeKind::offered;
        judge(change);
        add(std::move(change));
    }

    void judge(Change& change) const
    {
        if (change.aspect == Aspect::feature && change.name == "STARTTLS" && change.now.empty()) {
            change.grave = true;
            change.why = change.kind == ChangeKind::gone ? "mail goes in clear, or waits where TLS is required"
                                                         : "mail went in clear meanwhile, or waited where TLS is required";
        }
        const auto octets = change.name == "SIZE" && of_features(change.aspect) ? parse_number(change.now) : std::nullopt;
        const bool less = octets && *octets != 0 && (wants_.message_size_limit == 0 || *octets < wants_.message_size_limit);
        const std::uint64_t before = parse_number(change.before).value_or(0);
        if (less && (before == 0 || *octets < before)) {
            change.grave = true;
            change.why = wants_.message_size_limit == 0 ? std::string("message_size_limit is not limited")
                                                        : fmt::format("less than message_size_limit ({})", wants_.message_size_limit);
        }
        if (change.aspect == Aspect::trust && authenticated_ && change.now != "verified") {
            change.grave = true;
            change.why = "mail waits";
        }
    }

    void add(Change change)
    {
        change.told = now_;
        if (portrait_.changes.size() >= portrait_changes)
            portrait_.changes.erase(portrait_.changes.begin());
        portrait_.changes.push_back(change);
        look_.changes.push_back(std::move(change));
        look_.altered = true;
    }

    void note_certificate(const Face& face)
    {
        if (face.expires == WallTime{})
            return;
        const auto soon =
            face.lifetime.count() > 0 ? std::min<std::chrono::seconds>(expires_soon, face.lifetime / 4) : std::chrono::seconds{expires_soon};
        if (face.expires - now_ > soon) {
            look_.altered = look_.altered || !portrait_.good_certificate;
            portrait_.good_certificate = true;
            return;
        }
        const std::pair told(face.expires, face.expires <= now_);
        if ((!face.authenticated && !portrait_.good_certificate) || within(portrait_.expiry_told, seen_again, now_) ||
            std::ranges::find(portrait_.expiries, told) != portrait_.expiries.end())
            return;
        if (portrait_.expiries.size() >= portrait_expiries)
            portrait_.expiries.erase(portrait_.expiries.begin());
        portrait_.expiries.push_back(told);
        portrait_.expiry_told = now_;
        add({.kind = told.second ? ChangeKind::expired : ChangeKind::expires,
             .aspect = Aspect::issuer,
             .since = face.expires,
             .grave = face.authenticated,
             .why = face.authenticated ? "mail waits where it has to be verified" : ""});
    }

    void note_limit(std::string_view name, std::string number)
    {
        Trait* known = find(Aspect::limit, name);
        if (!known && !(known = make(Aspect::limit, name)))
            return;
        if (known->value == number || within(known->told, seen_again, now_))
            return;
        known->told = now_;
        add({.kind = ChangeKind::other,
             .aspect = Aspect::limit,
             .name = std::string(name),
             .before = std::exchange(known->value, number),
             .now = number,
             .since = now_});
    }

    Portrait& portrait_;
    const Wants& wants_;
    WallTime now_;
    bool authenticated_ = false;
    Look look_;
};

/// What it is that has the value: "SIZE", "the greeting".
std::string subject_of(const Change& change)
{
    switch (change.aspect) {
    case Aspect::greeting: return "the greeting";
    case Aspect::host: return "the host of the greeting";
    case Aspect::feature: return change.name;
    case Aspect::feature_in_tls: return change.name + " in TLS";
    case Aspect::tls_version: return "TLS";
    case Aspect::issuer: return "the issuer of the certificate";
    case Aspect::trust: return fmt::format("the certificate, at level {},", change.name);
    case Aspect::mx_set: return "the MX set";
    case Aspect::limit: return change.name;
    }
    return change.name;
}

std::string quoted(const Change& change, const std::string& value)
{
    if (value.empty())
        return change.aspect == Aspect::limit ? "not known" : of_features(change.aspect) ? "missing" : "\"\"";
    const bool words = change.aspect == Aspect::greeting || change.aspect == Aspect::issuer;
    return words ? fmt::format("\"{}\"", value) : value;
}

}  // namespace

std::string_view name_of(ChangeKind kind)
{
    static constexpr std::array<std::string_view, change_kinds> names{"offered", "gone", "other", "comes-and-goes", "expires", "expired"};
    return names[static_cast<std::size_t>(kind)];
}

Look look(Portrait& portrait, const Face& face, const Wants& wants, WallTime now) { return Looker(portrait, wants, now).run(face); }

Look look(Portrait& portrait, const Limits& limits, WallTime now) { return Looker(portrait, {}, now).run(limits); }

std::string text_of(const Change& change, std::string (*time)(WallTime))
{
    const std::string what = subject_of(change), why = change.why.empty() ? std::string() : ": " + change.why;
    switch (change.kind) {
    case ChangeKind::offered:
        return fmt::format("{} is offered{} since {}{}", what, change.now == "offered" ? "" : fmt::format(" ({})", change.now), time(change.since),
                           why);
    case ChangeKind::gone: return fmt::format("{} is gone since {}{}", what, time(change.since), why);
    case ChangeKind::other:
        return fmt::format("{} is {} since {}, {} before{}", what, quoted(change, change.now), time(change.since), quoted(change, change.before),
                           why);
    case ChangeKind::varies:
        return fmt::format("{} comes and goes: {}, and {} for a while from {}{}", what, quoted(change, change.before), quoted(change, change.now),
                           time(change.since), why);
    case ChangeKind::expires: return fmt::format("the certificate expires {}{}", time(change.since), why);
    case ChangeKind::expired: return fmt::format("the certificate has expired {}{}", time(change.since), why);
    }
    return what;
}

std::string text_of(const Change& change) { return text_of(change, date_of); }

std::string text_of(const PeerKey& peer, const Change& change)
{
    if (peer.address.empty())
        return fmt::format("site {}: changed: {}", printable(peer.site), text_of(change));
    return fmt::format("peer {}[{}]: changed: {}", peer.banner_host.empty() ? "unknown" : printable(peer.banner_host), printable(peer.address),
                       text_of(change));
}

}  // namespace posthorn::peers
