#include "peers/book.hpp"

#include "base/strings.hpp"
#include "peers/times.hpp"

namespace posthorn::peers {

namespace {

constexpr std::size_t key_octets = 300;
constexpr std::chrono::minutes canary_patience{5};
constexpr std::size_t lines_kept = 100'000;

/// Between these a session was seen that showed nothing new: no plan differs, no proof, no count of what failed.
bool only_seen_again(Record before, const Record& after, WallTime now)
{
    const auto moved = [](WallTime& old, WallTime young) {
        if (old != WallTime{} && young >= old && young - old < seen_interval)
            old = young;
    };
    if (known_of(before, now).slowest != known_of(after, now).slowest)
        return false;
    before.last = after.last;
    before.sessions = after.sessions;
    before.slowest = after.slowest;
    moved(before.tls_worked, after.tls_worked);
    moved(before.discards_bdat_until, after.discards_bdat_until);
    for (std::size_t i = 0; i < std::min(before.marks.size(), after.marks.size()); ++i) {
        Mark& mark = before.marks[i];
        if (mark.sightings != 0 && !mark.convicted)
            continue;                                               // suspected: what goes well tells whether it is convicted
        mark.tally.with_ok = after.marks[i].tally.with_ok;
        mark.tally.without_ok = after.marks[i].tally.without_ok;
        mark.worked = after.marks[i].worked;
    }
    return before == after;
}

bool only_seen_again(EarlyRecord before, const EarlyRecord& after, WallTime)
{
    before.last = after.last;
    for (std::size_t i = 0; i < std::min(before.hosts.size(), after.hosts.size()); ++i) {
        EarlyHost& host = before.hosts[i];
        host.last = after.hosts[i].last;
        if (host.clean.back() != WallTime{} && after.hosts[i].clean.back() != WallTime{})       // as many as are asked for, before and after
            host.clean = after.hosts[i].clean;
    }
    return before == after;
}

}  // namespace

std::string key_of(const PeerKey& peer)
{
    std::string key = peer.address + ' ' + to_lower(peer.banner_host);
    if (key.size() > key_octets)
        key.resize(key_octets);
    return key;
}

Book::Book(const Clock& clock, Options options, std::shared_ptr<const Rules> rules, Shelf* shelf)
    : clock_(clock), options_(options), rules_(std::move(rules)), shelf_(shelf)
{
}

template <class Value>
Book::Held<Value>& Book::hold(Kept<Value>& kept, const std::string& key, const std::function<std::optional<Value>()>& fetch)
{
    const SteadyTime now = clock_.steady();
    const auto stored = [&]() -> std::optional<Value> {
        auto found = fetch();
        return found ? std::optional(believable(*std::move(found), clock_.wall())) : std::nullopt;
    };
    auto at = kept.all.find(key);
    if (at == kept.all.end()) {
        while (kept.all.size() >= std::max<std::size_t>(options_.capacity, 1)) {
            const auto leaves = kept.all.find(kept.order.back());
            if (leaves->second.lags)
                keep(leaves->first, leaves->second);
            kept.all.erase(leaves);
            kept.order.pop_back();
        }
        kept.order.push_front(key);
        Value value = stored().value_or(Value{});
        const WallTime last = value.last;
        at = kept.all.emplace(key, Held<Value>{std::move(value), now, kept.order.begin(), last}).first;
    } else {
        kept.order.splice(kept.order.begin(), kept.order, at->second.place);
        if (options_.fresh.count() != 0 && now - at->second.taken >= options_.fresh)
            if (auto again = stored()) {
                at->second.value = *std::move(again);
                at->second.taken = now;
            }
    }
    return at->second;
}

template <class Value>
void Book::keep(const std::string& key, Held<Value>& held)
{
    shelf_->keep(key, held.value);
    held.stored = held.value.last;
    held.lags = false;
}

template <class Value>
void Book::keep_news(const std::string& key, Held<Value>& held, const Value& before)
{
    const WallTime now = clock_.wall();
    if (within(held.stored, seen_interval, now) && only_seen_again(before, held.value, now))
        held.lags = true;
    else
        keep(key, held);
}

void Book::catch_up()
{
    const auto all_of = [this](auto& kept) {
        for (auto& [key, held] : kept.all)
            if (held.lags)
                keep(key, held);
    };
    all_of(peers_);
    all_of(addresses_);
}

Book::Held<Record>& Book::peer(const std::string& key)
{
    return hold<Record>(peers_, key, [&]() -> std::optional<Record> { return shelf_ ? shelf_->peer(key) : std::nullopt; });
}

Book::Held<SiteRecord>& Book::site(const std::string& key)
{
    return hold<SiteRecord>(sites_, key, [&]() -> std::optional<SiteRecord> { return shelf_ ? shelf_->site(key) : std::nullopt; });
}

Book::Held<EarlyRecord>& Book::address(const std::string& key)
{
    return hold<EarlyRecord>(addresses_, key, [&]() -> std::optional<EarlyRecord> { return shelf_ ? shelf_->early(key) : std::nullopt; });
}

Early Book::early(const std::string& where)
{
    if (options_.learning != Learning::yes)
        return {};
    const WallTime now = clock_.wall();
    Early early = early_of(address(where).value, now);
    for (const std::string& host : early.hosts) {
        const Limits limits = known_of(peer(key_of({where, host, {}})).value, now).limits;
        for (const auto limit : {&Limits::recipients_per_mail, &Limits::mails_per_session, &Limits::errors_per_session, &Limits::sessions})
            if (limits.*limit != 0 && (early.limits.*limit == 0 || limits.*limit < early.limits.*limit))
                early.limits.*limit = limits.*limit;
    }
    return early;
}

bool Book::small_segments(const std::string& where)
{
    return options_.learning == Learning::yes && peers::small_segments(address(where).value.path, clock_.wall());
}

void Book::take_early(const Observation& observation)
{
    const WallTime now = clock_.wall();
    Held<EarlyRecord>& held = address(observation.peer.address);
    const EarlyRecord before = held.value;
    const bool off = note_early(held.value, observation, now);
    const PathNews news = note_path(held.value.path, observation.path, now);
    held.taken = clock_.steady();
    if (shelf_ && (held.value.speaks() || before.speaks()))
        keep_news(observation.peer.address, held, before);
    if (off && on_event)
        on_event({Event::Kind::early_off, observation.peer, Quirks{Quirk::no_early}, observation.early_seen, held.value.off_until});
    const PathRecord& path = held.value.path;
    if (news == PathNews::suspected && on_event)
        on_event({Event::Kind::path,
                  observation.peer,
                  {},
                  fmt::format("segments of {} octets never arrived, although they were repeated: they are lost on the way", path.lost),
                  path.suspected + PathRecord::suspected_for});
    if (news == PathNews::learned && on_event)
        on_event({Event::Kind::path,
                  observation.peer,
                  {},
                  fmt::format("small segments arrive, of {} octets none did: who drops them on the way tells nobody (path MTU)", path.lost),
                  path.until});
    if (news == PathNews::learned && on_way_word)
        on_way_word(observation.peer.address);
}

Known Book::about(const Meeting& meeting)
{
    const WallTime now = clock_.wall();
    Known known;
    if (options_.learning != Learning::no) {
        const std::string key = key_of(meeting.peer);
        const Record& record = peer(key).value;
        known = known_of(record, now);
        if (record.sessions == 0)
            known.quirks.merge(shared_by(site(meeting.peer.site).value, now));
        known.learned = known.quirks;
        if (!known.canary.empty()) {
            // One session tests, not all that begin before it has an answer.
            const SteadyTime moment = clock_.steady();
            const auto out = canaries_.find(key);
            if (meeting.ehlo.empty() && (out == canaries_.end() || moment - out->second >= canary_patience))
                canaries_[key] = moment;
            else if (out == canaries_.end() || moment != out->second)
                known.canary = {};
            if (canaries_.size() > lines_kept)
                canaries_.clear();
        }
        if (options_.learning == Learning::report)
            known = {.learned = known.learned, .slowest = known.slowest};
        else if (!known.quirks.empty())
            known.source = Source::learned;
    }
    if (rules_) {
        const RuleWords words = rules_->words_for(meeting);
        if (!words.empty()) {
            known.ruled = words.quirks;
            known.quirks.subtract(words.not_quirks).merge(words.quirks);
            known.canary.subtract(words.not_quirks).subtract(words.quirks);
            words.apply(known.limits);
            known.privileges.bdat_first = words.bdat_first.value_or(known.privileges.bdat_first);
            known.privileges.early = words.early.value_or(known.privileges.early);
            known.source = Source::rule_file;
        }
    }
    return known;
}

bool Book::saw(Evidence evidence)
{
    if (options_.learning == Learning::no)
        return false;
    const Observation observation = observe(evidence);
    const Quirks news = take(observation);
    if (on_observation)
        on_observation(observation);
    // What failed because a quirk was tested on purpose goes on without the test.
    const Quirks now = known_of(peer(key_of(observation.peer)).value, clock_.wall()).quirks;
    const bool tested = Quirks(now).subtract(evidence.canary) != now;
    return options_.learning == Learning::yes && (tested || !Quirks(news).subtract(evidence.in_force).empty());
}

Quirks Book::take(const Observation& observation)
{
    const WallTime now = clock_.wall();
    if (!observation.peer.address.empty())
        take_early(observation);
    const std::string key = key_of(observation.peer);
    Held<Record>& held = peer(key);
    const Record before = held.value;
    Learned learned = learn(std::move(held.value), observation, now);
    held.value = std::move(learned.record);
    held.taken = clock_.steady();
    if (!observation.canary.empty())
        canaries_.erase(key);
    if (shelf_)
        keep_news(key, held, before);
    const Quirks news = Quirks(known_of(held.value, now).quirks).subtract(known_of(before, now).quirks);
    const bool more_to_tell = on_word && tells_more(before, held.value, now);
    spread(observation.peer, learned.events);
    if (more_to_tell)
        on_word(key);
    return news;
}

void Book::spread(const PeerKey& peer, const std::vector<Event>& events)
{
    for (const Event& event : events) {
        if (!peer.site.empty()) {
            SiteRecord& shared = site(peer.site).value;
            share(shared, event, clock_.wall());
            if (shelf_)
                shelf_->keep(peer.site, shared);
        }
        if (on_event)
            on_event(event);
    }
}

bool Book::hear(const Word& word, const std::string& by)
{
    if (word.peer.address.empty())
        return false;
    const std::string key = key_of(word.peer);
    Held<Record>& held = this->peer(key);
    Learned heard = peers::hear(held.value, word, by, forgotten_at(key), clock_.wall());
    if (heard.record == held.value)
        return false;
    held.value = std::move(heard.record);
    held.taken = clock_.steady();
    if (shelf_)
        keep(key, held);
    const PeerKey peer = held.value.peer;
    spread(peer, heard.events);
    return true;
}

bool Book::hear(const WayWord& word, const std::string& by)
{
    if (word.address.empty())
        return false;
    Held<EarlyRecord>& held = address(word.address);
    const WallTime now = clock_.wall();
    const bool small_before = peers::small_segments(held.value.path, now);
    if (!peers::hear(held.value.path, word, by, forgotten_at(word.address), now))
        return false;
    held.value.last = std::max(held.value.last, now);
    held.taken = clock_.steady();
    if (shelf_)
        keep(word.address, held);
    if (!small_before && on_event)
        on_event(
            {Event::Kind::path, {word.address, {}, {}}, {}, fmt::format("segments of {} octets are lost", word.lost), held.value.path.until, by});
    return true;
}

std::optional<Word> Book::word(const std::string& key)
{
    const auto known = record(key);
    return known ? word_of(believable(*known, clock_.wall()), clock_.wall()) : std::nullopt;
}

std::optional<WayWord> Book::way_word(const std::string& where)
{
    const auto at = addresses_.all.find(where);
    const auto known = at != addresses_.all.end() ? std::optional(at->second.value) : shelf_ ? shelf_->early(where) : std::nullopt;
    return known ? word_of(where, believable(*known, clock_.wall()).path, clock_.wall()) : std::nullopt;
}

void Book::forgotten(const std::string& name)
{
    // Of a hundred thousand that go together with all, each need not be kept.
    if (const auto all = name.empty() ? std::nullopt : forgotten_itself({}); all && within(*all, told_again, clock_.wall()))
        return;
    if (shelf_)
        return shelf_->keep_forgotten(name, clock_.wall());
    if (forgotten_.size() >= lines_kept)
        forgotten_.clear();
    forgotten_[name] = clock_.wall();
}

std::optional<WallTime> Book::forgotten_itself(const std::string& name) const
{
    if (shelf_)
        return shelf_->forgotten(name);
    const auto at = forgotten_.find(name);
    return at == forgotten_.end() ? std::nullopt : std::optional(at->second);
}

WallTime Book::forgotten_at(const std::string& name) const
{
    const WallTime latest = std::max(forgotten_itself(name).value_or(WallTime{}), forgotten_itself({}).value_or(WallTime{}));
    return std::min(latest, clock_.wall());                         // of a clock that was ahead
}

bool Book::forget(const std::string& key)
{
    std::optional<Record> known;
    if (const auto at = peers_.all.find(key); at != peers_.all.end())
        known = at->second.value;
    else if (shelf_)
        known = shelf_->peer(key);
    if (!known || known->peer.address.empty())
        return false;
    if (const std::string& name = known->peer.site; !name.empty()) {
        SiteRecord& shared = site(name).value;
        for (SiteRecord::Shared& one : shared.shared)
            std::erase(one.addresses, known->peer.address);
        std::erase_if(shared.shared, [](const SiteRecord::Shared& one) { return one.addresses.empty(); });
        if (shelf_)
            shelf_->keep(name, shared);
    }
    forget_way(known->peer.address);
    forgotten(key);
    let_go({key}, false);
    if (shelf_)
        shelf_->drop_peer(key);
    return true;
}

bool Book::forget_way(const std::string& where)
{
    Held<EarlyRecord>& held = address(where);
    if (held.value.path == PathRecord{})
        return false;
    held.value.path = {};
    forgotten(where);
    if (shelf_)
        keep(where, held);
    return true;
}

void Book::put(const Record& record)
{
    const std::string key = key_of(record.peer);
    Held<Record>& held = peer(key);
    held.value = record;
    held.taken = clock_.steady();
    canaries_.erase(key);
    if (shelf_)
        keep(key, held);
}

void Book::let_go(const std::vector<std::string>& keys, bool all)
{
    if (all) {
        peers_ = {};
        sites_ = {};
        if (options_.fresh.count() != 0)
            addresses_ = {};
        canaries_.clear();
        return;
    }
    for (const std::string& key : keys) {
        if (const auto way = addresses_.all.find(key.substr(0, key.find(' '))); way != addresses_.all.end() && options_.fresh.count() != 0) {
            addresses_.order.erase(way->second.place);
            addresses_.all.erase(way);
        }
        if (const auto at = peers_.all.find(key); at != peers_.all.end()) {
            if (const auto of = sites_.all.find(at->second.value.peer.site); of != sites_.all.end() && options_.fresh.count() != 0) {
                sites_.order.erase(of->second.place);
                sites_.all.erase(of);
            }
            peers_.order.erase(at->second.place);
            peers_.all.erase(at);
        }
        canaries_.erase(key);
    }
}

void Book::let_go_of_sets(const std::vector<std::string>& sets, bool all)
{
    if (all) {
        manners_ = {};
        greylists_ = {};
        return;
    }
    for (const std::string& name : sets) {
        if (const auto at = manners_.all.find(name); at != manners_.all.end()) {
            manners_.order.erase(at->second.place);
            manners_.all.erase(at);
        }
        greylists_.forget(name);
    }
}

void Book::connected(const std::string& site_name, bool well)
{
    if (lines_.size() >= lines_kept)
        lines_.clear();
    if (well) {
        if (const auto at = lines_.find(site_name); at != lines_.end())
            at->second.failed = {};
    } else
        lines_[site_name].failed = clock_.steady();
}

bool Book::may_replay(const std::string& site_name)
{
    if (options_.learning != Learning::yes)
        return false;
    const SteadyTime now = clock_.steady();
    Line& line = lines_[site_name];
    const bool down = line.failed != SteadyTime{} && now - line.failed < replay_interval;
    if (down || (line.replayed != SteadyTime{} && now - line.replayed < replay_interval))
        return false;
    line.replayed = now;
    return true;
}

Advice Book::advice(std::string_view reply, std::string_view site)
{
    Advice advice = rules_ ? rules_->advice_for(reply, site) : Advice{};
    if (advice.greylist && advice.wait.count() == 0)
        advice.wait = time_named(reply).value_or(std::chrono::seconds{0});
    return advice;
}

std::optional<WallTime> Book::put_off(const std::string& host, std::string_view sender, std::string_view recipient, std::string_view reply,
                                      const Advice& advice)
{
    // With learning off only what a rule says of a reply counts.
    if (options_.learning != Learning::yes && !advice.greylist)
        return std::nullopt;
    const WallTime now = clock_.wall();
    if (!greylists_.has(host))
        if (const Manners& known = manners(host); known.greylists_until > now)
            greylists_.recall(host, {known.greylists_until, known.passed, known.refused});
    const auto when = greylists_.put_off(host, envelope_of(sender, recipient), reply, advice, now);
    remember_greylisting(host);
    return when;
}

bool Book::taken(const std::string& host, std::string_view sender, std::string_view recipient)
{
    if (greylists_.empty())
        return false;
    const bool follow = greylists_.taken(host, envelope_of(sender, recipient), clock_.wall());
    remember_greylisting(host);
    return follow;
}

Manners& Book::manners(const std::string& name)
{
    const std::string key = name.substr(0, key_octets);
    return hold<Manners>(manners_, key, [&]() -> std::optional<Manners> { return shelf_ ? shelf_->manners(key) : std::nullopt; }).value;
}

void Book::changed(const std::string& name, Manners& manners)
{
    manners.last = clock_.wall();
    if (shelf_)
        shelf_->keep(name.substr(0, key_octets), manners);
    if (on_manners)
        on_manners(name.substr(0, key_octets), manners);
}

/// Not every mail is worth a write: who greylists, the waits, and once a day that it still does.
void Book::remember_greylisting(const std::string& host)
{
    const WallTime now = clock_.wall();
    const auto lasting = greylists_.lasting(host, now);
    if (!lasting || options_.learning != Learning::yes)
        return;
    Manners& known = manners(host);
    if (known.passed == lasting->passed && known.refused == lasting->refused && known.greylists_until + std::chrono::hours{24} > lasting->until)
        return;
    known.greylists_until = lasting->until;
    known.passed = lasting->passed;
    known.refused = lasting->refused;
    changed(host, known);
}

std::uint32_t Book::sessions_at_once(const std::string& set)
{
    if (options_.learning != Learning::yes || set.empty())
        return 0;
    const Manners& known = manners(set);
    return known.sessions_until > clock_.wall() ? known.sessions : 0;
}

void Book::refused_beside(const std::string& set, std::uint32_t standing)
{
    if (options_.learning != Learning::yes || set.empty())
        return;
    Manners& known = manners(set);
    // Those that were being opened then do not count as standing: the larger number is nearer to the truth.
    if (standing != 0 && standing < known.sessions && known.sessions_until > clock_.wall() + sessions_lifetime - std::chrono::hours{1})
        return;
    if (known.sessions == standing && (standing == 0 || known.sessions_until > clock_.wall() + sessions_lifetime - std::chrono::minutes{5}))
        return;
    known.sessions = standing;
    known.sessions_until = standing == 0 ? WallTime{} : clock_.wall() + sessions_lifetime;
    changed(set, known);
}

bool Book::forget_manners(const std::string& name)
{
    const std::string key = name.substr(0, key_octets);
    const bool known = manners(key) != Manners{};
    let_go_of_sets({key}, false);
    if (shelf_)
        shelf_->drop_manners(key);
    return known;
}

void Book::put(const std::string& name, const Manners& said)
{
    Manners& known = manners(name);
    known = said;
    changed(name, known);
}

std::string Book::counted_at(std::string_view sender, std::string_view recipient)
{
    return greylists_.empty() ? std::string() : greylists_.host_of(envelope_of(sender, recipient), clock_.wall());
}

std::optional<Record> Book::record(const std::string& key)
{
    const auto at = peers_.all.find(key);
    if (at != peers_.all.end())
        return at->second.value;
    return shelf_ ? shelf_->peer(key) : std::nullopt;
}

}  // namespace posthorn::peers
