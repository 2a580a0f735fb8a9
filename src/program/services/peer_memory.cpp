#include "services/peer_memory.hpp"

#include "handoff/frames.hpp"
#include "peers/params.hpp"
#include "peers/stored.hpp"
#include "peers/stored.pb.h"
#include "services/programs.hpp"

namespace posthorn::services {

using handoff::Frame;

namespace {

constexpr std::size_t peers_stored = 100'000, peers_held = 10'000, peers_borrowed = 2'000;
constexpr std::chrono::seconds borrowed_for{30}, write_interval{1};
/// Observations that wait for memory; more are dropped: what is true will be seen again.
constexpr std::size_t on_the_way_at_most = 1'000;

std::string store_path(const process::Service& service) { return fmt::format("{}/{}", service.start_record().data_directory(), peers::store_name); }

std::shared_ptr<const peers::Rules> rules_of(const process::Service& service)
{
    std::vector<std::string> troubles;
    auto rules = peers::load_rules(service.config().get(peers::smtp_peer_rules), troubles);
    for (const std::string& trouble : troubles)
        service.log().warning("{}", trouble);
    return rules;
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
      link_(service.executor(), std::string(memory_socket), {.channel = {.name = "memory"}}), tasks_(service.executor())
{
    book_.on_observation = [this](const peers::Observation& observation) {
        if (on_the_way_ >= on_the_way_at_most) {
            ++dropped_;
            return;
        }
        ++on_the_way_;
        tasks_.spawn(tell(observation));
    };
}

awaitable<void> PeerMemory::tell(peers::Observation observation)
{
    const auto sent = co_await link_.send(Frame::peer_observed, peers::frame_of(observation));
    dropped_ += sent ? 0 : 1;
    --on_the_way_;
}

awaitable<void> PeerMemory::close()
{
    co_await tasks_.drained();
    co_await link_.close();
}

PeerKeeper::PeerKeeper(process::Service& service, const Clock& clock, ipc::Dispatcher& dispatcher)
    : log_(service.log_as("smtp")), only_reported_(service.config().get(peers::smtp_peer_learning) != peers::Learning::yes),
      store_(open_store(service)), book_(clock, {.capacity = store_ ? peers_held : peers_stored}, nullptr, store_.get())
{
    book_.on_event = [this](const peers::Event& event) {
        const std::string line = peers::text_of(event, only_reported_);
        event.kind == peers::Event::Kind::tls_alarm ? log_.warning("{}", line) : log_.info("{}", line);
    };
    dispatcher.on_notice<peers::stored::Observed>(Frame::peer_observed, [this](peers::stored::Observed frame) {
        const peers::Observation observation = peers::observation_of(frame);
        if (!observation.peer.address.empty())
            book_.take(observation);
    });
}

void PeerKeeper::reload(const config::Snapshot& snapshot) { only_reported_ = snapshot.get(peers::smtp_peer_learning) != peers::Learning::yes; }

awaitable<void> PeerKeeper::run()
{
    while (!co_await cancelled()) {
        co_await sleep_for(write_interval);
        const auto batch = store_ ? store_->take() : nullptr;
        if (!batch)
            continue;
        const auto written = co_await on_thread(thread_, [store = store_.get(), batch] { return store->write(*batch); });
        if (!written)
            trouble(written.error());
        else
            in_trouble_ = false;
    }
}

void PeerKeeper::write_out()
{
    if (!store_)
        return;
    if (const auto written = store_->flush(); !written)
        trouble(written.error());
}

void PeerKeeper::trouble(const Error& error)
{
    if (!std::exchange(in_trouble_, true))
        log_.warning("{}; what was learned of other servers is not stored", error.text());
}

}  // namespace posthorn::services
