#include "services/peer_memory.hpp"

#include "base/strings.hpp"
#include "handoff/counting.hpp"
#include "handoff/frames.hpp"
#include "peers/params.hpp"
#include "peers/stored.hpp"
#include "peers/stored.pb.h"
#include "receive/params.hpp"
#include "services/counters.hpp"
#include "services/programs.hpp"

#include <boost/asio/detached.hpp>

#include <algorithm>

namespace posthorn::services {

using handoff::Frame;

namespace {

constexpr std::size_t peers_stored = 100'000, peers_held = 10'000, peers_borrowed = 2'000, portraits_held = 5'000, portraits_unstored = 25'000;
constexpr std::chrono::seconds borrowed_for{30}, write_interval{1}, look_interval{30}, spread_patience{2};
/// Observations that wait for memory; more are dropped: what is true will be seen again.
constexpr std::size_t observations_at_most = 1'000, told_lines_at_most = 20;

std::string store_path(const process::Service& service) { return fmt::format("{}/{}", service.start_record().data_directory(), peers::store_name); }

std::shared_ptr<const peers::Rules> rules_of(const process::Service& service)
{
    std::vector<std::string> troubles;
    auto rules = peers::load_rules(service.config().get(peers::smtp_peer_rules), troubles);
    for (const std::string& trouble : troubles)
        service.log().warning("{}", trouble);
    return rules;
}

peers::Wants wants_of(const config::Snapshot& snapshot)
{
    return {.message_size_limit = static_cast<std::uint64_t>(snapshot.get(receive::message_size_limit).count)};
}

std::unique_ptr<peers::Store> open_store(const process::Service& service)
{
    const std::string path = store_path(service);
    std::string damage;
    auto store = peers::Store::open(path, peers_stored, &damage);
    if (!damage.empty())
        service.log().warning("{}; it was set aside as {}.bad, and what was known of other servers is learned again", damage, path);
    if (store)
        return *std::move(store);
    service.log().warning("{}; what is learned of other servers is not stored", store.error().text());
    return nullptr;
}

}  // namespace

PeerMemory::PeerMemory(process::Service& service, const Clock& clock)
    : shelf_(store_path(service)),
      book_(clock, {.learning = service.config().get(peers::smtp_peer_learning), .capacity = peers_borrowed, .fresh = borrowed_for},
            rules_of(service), &shelf_),
      link_(service.executor(), std::string(memory_socket), {.channel = {.name = "memory"}},
            [this](ipc::Incoming incoming) { heard(std::move(incoming)); }),
      tasks_(service.executor())
{
    book_.on_observation = [this](const peers::Observation& observation) { post(peers::frame_of(observation)); };
    book_.on_manners = [this](const std::string& name, const peers::Manners& manners) { post(peers::frame_of(name, manners)); };
}

void PeerMemory::post(peers::stored::Observed frame)
{
    if (on_the_way_ >= observations_at_most) {
        ++dropped_;
        return;
    }
    ++on_the_way_;
    tasks_.spawn(tell(std::move(frame)));
}

awaitable<void> PeerMemory::tell(peers::stored::Observed frame)
{
    const auto sent = co_await link_.send(Frame::peer_observed, std::move(frame));
    dropped_ += sent ? 0 : 1;
    --on_the_way_;
}

void PeerMemory::heard(ipc::Incoming incoming)
{
    if (incoming.kind != static_cast<ipc::Kind>(Frame::peers_changed))
        return incoming.responder.fail(Error{"memory says what is not understood here", "5.5.1"});
    const auto changed = incoming.parse<peers::stored::Changed>();
    if (!changed)
        return incoming.responder.fail(changed.error());
    book_.let_go({changed->keys().begin(), changed->keys().end()}, changed->all());
    book_.let_go_of_sets({changed->sets().begin(), changed->sets().end()}, changed->all_sets());
    if (on_change)
        on_change();
    incoming.responder.reply(peers::stored::ChangedReply{});
}

awaitable<void> PeerMemory::close()
{
    co_await tasks_.drained();
    co_await link_.close();
}

PeerKeeper::PeerKeeper(process::Service& service, const Clock& clock, ipc::Dispatcher& dispatcher, Channels channels)
    : log_(service.log_as("smtp")), executor_(service.executor()), channels_(std::move(channels)), written_(service.executor()),
      change_(service.executor()), only_reported_(service.config().get(peers::smtp_peer_learning) != peers::Learning::yes),
      store_(open_store(service)), book_(clock, {.capacity = store_ ? peers_held : peers_stored}, nullptr, store_.get()), clock_(clock),
      gallery_(clock, wants_of(service.config()), store_ ? portraits_held : portraits_unstored, store_.get())
{
    gallery_.on_change = [this](const peers::PeerKey& peer, const peers::Change& change) { say(peer, change); };
    book_.on_event = [this](const peers::Event& event) {
        const std::string line = peers::text_of(event, only_reported_);
        if (!event.told_by.empty())
            return log_told(line);
        if (event.kind == peers::Event::Kind::learned)
            learned_.add({event.quirks.text()});
        event.kind == peers::Event::Kind::tls_alarm ? log_.warning("{}", line) : log_.info("{}", line);
    };
    dispatcher.on_notice<peers::stored::Observed>(Frame::peer_observed, [this](peers::stored::Observed frame) {
        if (auto [set, restraint] = peers::restraint_of(frame); !set.empty()) {
            if (store_)
                store_->keep(set, restraint);
        } else if (auto [name, manners] = peers::manners_of(frame); !name.empty())
            book_.put(name, manners);
        else if (const peers::Observation observation = peers::observation_of(frame); !observation.peer.address.empty())
            take(observation);
        if (!std::exchange(changed_, true))
            change_.notify_all();
    });
}

void PeerKeeper::take(const peers::Observation& observation)
{
    book_.take(observation);
    gallery_.take(observation);
    if (observation.recipients == 0 && observation.errors == 0)
        return;
    if (const auto record = book_.record(observation.peer); record && record->limits_until > clock_.wall())
        gallery_.take(observation, record->limits);
}

bool PeerKeeper::note(bool news)
{
    if (news && !std::exchange(changed_, true))
        change_.notify_all();
    return news;
}

/// A sibling that comes back after a long time has much to tell: that many lines a minute, and how many more there were.
void PeerKeeper::log_told(const std::string& line)
{
    const WallTime now = clock_.wall();
    if (now - told_since_ >= std::chrono::minutes{1} || now < told_since_) {
        if (told_lines_ > told_lines_at_most)
            log_.info("{} more was told by siblings in the minute from {}: posthorn peers", told_lines_ - told_lines_at_most,
                      peers::date_of(told_since_));
        told_since_ = now;
        told_lines_ = 0;
    }
    if (++told_lines_ <= told_lines_at_most)
        log_.info("{}", line);
}

void PeerKeeper::say(const peers::PeerKey& peer, const peers::Change& change)
{
    changed_of_.add({peers::name_of(change.kind)});
    if (!herald_.may(peer.site, clock_.wall()))
        return;
    const std::string line = peers::text_of(peer, change);
    change.grave ? log_.warning("{}", line) : log_.info("{}", line);
}

void PeerKeeper::say_what_was_not_said()
{
    for (const peers::Herald::Silenced& one : herald_.over(clock_.wall()))
        log_.info("site {}: changed: {} more changes of its servers in the hour from {}: posthorn peers changes", printable(one.site), one.changes,
                  peers::date_of(one.since));
}

void PeerKeeper::forget_portraits(const std::vector<peers::PeerKey>& of, bool all)
{
    for (const std::string& key : store_ ? store_->portraits() : gallery_.keys())
        if (all || std::ranges::any_of(of, [&](const peers::PeerKey& peer) { return peers::is_portrait_of(key, peer); }))
            gallery_.forget(key);
}

void PeerKeeper::count(handoff::CountersReply& reply) const
{
    handoff::count(reply, peers_known, book_.peers());
    handoff::count(reply, peers_learned, std::array<std::string_view, 1>{"quirk"}, learned_);
    handoff::count(reply, peers_changed, std::array<std::string_view, 1>{"kind"}, changed_of_);
}

void PeerKeeper::reload(const config::Snapshot& snapshot)
{
    only_reported_ = snapshot.get(peers::smtp_peer_learning) != peers::Learning::yes;
    gallery_.want(wants_of(snapshot));
}

awaitable<void> PeerKeeper::run()
{
    while (!co_await cancelled()) {
        say_what_was_not_said();
        if (!changed_)
            co_await change_.wait_for(look_interval);               // nothing to write: nothing to wake for
        if (std::exchange(changed_, false))
            co_await sleep_for(write_interval);
        if (const auto written = co_await store_now(); !written)
            trouble(written.error());
    }
}

/// One write at a time. What was kept before the call is in the file after it.
awaitable<Result<void>> PeerKeeper::store_now()
{
    while (writing_)
        co_await written_.wait();
    const auto batch = store_ ? store_->take() : nullptr;
    if (!batch)
        co_return Result<void>{};
    writing_ = true;
    auto written = co_await on_thread(thread_, [store = store_.get(), batch] { return store->write(*batch); });
    writing_ = false;
    in_trouble_ = in_trouble_ && !written;
    written_.notify_all();
    co_return written;
}

/// The smtp processes read the file again. One that does not answer soon is not waited for: what it borrowed it believes for half a minute.
awaitable<void> PeerKeeper::spread(peers::stored::Changed changed)
{
    struct Asked {
        explicit Asked(const Executor& executor) : ended(executor) {}
        std::size_t open = 0;
        Signal ended;
    };
    const auto asked = std::make_shared<Asked>(executor_);
    for (const auto& channel : channels_()) {
        ++asked->open;
        asio::co_spawn(
            executor_,
            [](std::shared_ptr<ipc::Channel> to, peers::stored::Changed what, std::shared_ptr<Asked> all) -> awaitable<void> {
                (void)co_await to->call<peers::stored::ChangedReply>(Frame::peers_changed, std::move(what));
                --all->open;
                all->ended.notify_all();
            }(channel, changed, asked),
            asio::detached);
    }
    const SteadyTime end = std::chrono::steady_clock::now() + spread_patience;
    while (asked->open > 0 && std::chrono::steady_clock::now() < end && !co_await cancelled())
        co_await asked->ended.wait_for(std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()));
}

awaitable<void> PeerKeeper::command(peers::stored::Command command, std::shared_ptr<Staged> staged, ipc::Responder responder)
{
    using peers::stored::Command;
    peers::stored::CommandReply reply;
    peers::stored::Changed changed;
    for (const peers::stored::Peer& one : command.peers()) {
        auto record = peers::record_of(one.SerializeAsString());
        if (!record || record->peer.address.empty() || staged->size() >= peers_stored) {
            staged->clear();
            co_return responder.fail(Error{record ? fmt::format("more than {} peers", peers_stored) : std::string("a record that is none"), "5.5.4"});
        }
        staged->push_back(*std::move(record));
    }
    if (command.verb() == Command::IMPORT && !command.more()) {
        for (const peers::Record& record : std::exchange(*staged, {})) {
            book_.put(record);
            changed.add_keys(peers::key_of(record.peer));
            reply.set_count(reply.count() + 1);
        }
    } else if (command.verb() == Command::FORGET) {
        std::vector<std::string> keys(command.keys().begin(), command.keys().end());
        if (command.all()) {
            keys = store_ ? store_->keys() : book_.keys();
            changed.set_all(true);
            book_.forgot_all();
        }
        std::vector<peers::PeerKey> gone;
        for (const std::string& key : keys)
            if (const auto record = book_.record(key); record && book_.forget(key)) {
                gone.push_back(record->peer);
                changed.add_keys(key);
                reply.set_count(reply.count() + 1);
            }
        std::vector<std::string> ways(command.ways().begin(), command.ways().end());
        if (command.all() && store_)
            ways = store_->addresses();
        for (const std::string& address : ways)
            if (book_.forget_way(address)) {
                changed.add_keys(address);
                reply.set_ways(reply.ways() + 1);
            }
        forget_portraits(gone, command.all());
        std::vector<std::string> sets(command.sets().begin(), command.sets().end());
        if (command.all()) {
            sets = store_ ? store_->sets() : sets;
            changed.set_all_sets(true);
        }
        for (const std::string& set : sets) {
            const bool restrained = store_ && store_->restrained(set);
            if (restrained)
                store_->keep(set, std::nullopt);
            if (book_.forget_manners(set) || restrained) {
                changed.add_sets(set);
                reply.set_sets(reply.sets() + 1);
            }
        }
    }
    if (reply.count() > 0)
        log_.info("an operator had {} servers {}", reply.count(), command.verb() == Command::FORGET ? "forgotten" : "taken over from a file");
    if (reply.sets() > 0)
        log_.info("an operator had forgotten what {} MX sets and greylisting hosts ask for", reply.sets());
    if (reply.ways() > 0)
        log_.info("an operator had forgotten which segments arrive at {} addresses", reply.ways());
    reply.set_stored(store_ != nullptr);
    book_.catch_up();
    if (const auto written = co_await store_now(); !written) {
        trouble(written.error());
        reply.set_stored(false);
        reply.set_text(written.error().text());
    }
    if (reply.count() > 0 || reply.sets() > 0 || reply.ways() > 0 || changed.all_sets()) {
        if (changed.keys_size() > 1000) {
            changed.clear_keys();
            changed.set_all(true);
        }
        if (changed.all_sets())
            changed.clear_sets();
        co_await spread(std::move(changed));
    }
    responder.reply(reply);
}

void PeerKeeper::write_out()
{
    if (!store_)
        return;
    book_.catch_up();
    if (const auto written = store_->flush(); !written)
        trouble(written.error());
}

void PeerKeeper::trouble(const Error& error)
{
    if (!std::exchange(in_trouble_, true))
        log_.warning("{}; what was learned of other servers is not stored", error.text());
}

}  // namespace posthorn::services
