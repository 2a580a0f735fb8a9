#include "services/sibling_desk.hpp"

#include "handoff/counting.hpp"
#include "handoff/frames.hpp"
#include "ipc/client.hpp"
#include "services/counters.hpp"
#include "services/params.hpp"

#include <fmt/format.h>

#include <sys/socket.h>

#include <algorithm>
#include <random>
#include <set>

namespace posthorn::services {

using handoff::Frame;

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds sibling_first_pause = 1s, sibling_longest_pause = 60s;
constexpr std::size_t incoming_siblings = 64, addresses_told = 100'000;

std::string new_memory_identity()
{
    std::random_device random;
    return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

bool is_stream_socket(int descriptor)
{
    int kind = 0;
    socklen_t size = sizeof kind;
    return ::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &kind, &size) == 0 && kind == SOCK_STREAM;
}

}  // namespace

SiblingDesk::SiblingDesk(process::Service& service, const Clock& clock, PeerKeeper& peers, verify::Desk& addresses)
    : service_(service), log_(service.log()), clock_(clock), peers_(peers), addresses_(addresses),
      ours_{new_memory_identity(), POSTHORN_VERSION, service.config().text("myhostname")}, tasks_(service.executor())
{
    const auto each = [this](auto tell) {
        for (const auto& link : links_)
            if (link->session && link->session->introduced())
                tell(*link->session);
    };
    peers_.book().on_word = [each](const std::string& key) { each([&](siblings::Session& session) { session.more_of_peer(key); }); };
    peers_.book().on_way_word = [each](const std::string& where) { each([&](siblings::Session& session) { session.more_of_way(where); }); };
    addresses_.on_word = [each](const std::string& key) { each([&](siblings::Session& session) { session.more_of_address(key); }); };
    addresses_.on_asking = [each](const std::string& key, bool over) { each([&](siblings::Session& session) { session.asking({key, over}); }); };
}

void SiblingDesk::serve(ipc::Dispatcher& dispatcher)
{
    dispatcher.on<handoff::SiblingComes, handoff::SiblingTaken>(
        Frame::sibling_comes, [this](handoff::SiblingComes, std::vector<Fd> descriptors) -> awaitable<Result<handoff::SiblingTaken>> {
            return [](Result<handoff::SiblingTaken> taken) -> awaitable<Result<handoff::SiblingTaken>> {
                co_return taken;
            }(take_in(std::move(descriptors)));
        });
    dispatcher.on_now<handoff::SiblingsQuestion, handoff::Siblings>(
        Frame::siblings, [this](const handoff::SiblingsQuestion&) { return Result<handoff::Siblings>(standing()); });
}

void SiblingDesk::reload(const config::Snapshot& snapshot)
{
    std::set<std::string> wanted;
    for (const config::ListMember& member : snapshot.get(memory_siblings))
        wanted.insert(member.text);
    for (const auto& link : links_)
        if (link->named && !wanted.contains(link->name)) {
            link->wanted = false;
            link->left.notify_all();
            if (link->session)
                link->session->close();
        }
    for (const std::string& name : wanted) {
        if (!siblings::is_name(name)) {
            log_.warning("memory_siblings: {} is no name of a line of master.cf", name);
            continue;
        }
        if (std::ranges::any_of(links_, [&](const auto& link) { return link->named && link->wanted && link->name == name; }))
            continue;
        const auto& link = links_.emplace_back(std::make_shared<Link>(service_.executor()));
        link->name = name;
        link->named = true;
        tasks_.spawn(keep(link));
    }
}

Result<handoff::SiblingTaken> SiblingDesk::take_in(std::vector<Fd> descriptors)
{
    if (descriptors.size() != 1 || !is_stream_socket(descriptors.front().get()))
        return Error{"there is no connection with it", "5.5.4"};
    if (closing_ || links_.size() >= incoming_siblings)
        return Error{fmt::format("there are {} siblings already", links_.size()), "4.3.2"};
    const auto& link = links_.emplace_back(std::make_shared<Link>(service_.executor()));
    tasks_.spawn(receive(link, net::socket_stream(service_.executor(), std::move(descriptors.front()))));
    return handoff::SiblingTaken{};
}

awaitable<Error> SiblingDesk::converse(std::shared_ptr<Link> link, std::unique_ptr<net::Stream> stream)
{
    link->session = std::make_unique<siblings::Session>(std::move(stream), ours_, *this, link->name);
    link->session->on_introduction = [this, link = link.get()] {
        link->name = link->session->name();
        link->host = link->session->theirs().name;
        link->version = link->session->theirs().version;
        link->connected = clock_.wall();
        log_.info("sibling {}: connected{}: {}, version {}", link->name, link->named ? "" : " by posthorn share", link->host, link->version);
    };
    Error why = co_await link->session->run();
    const siblings::Session::Counts& counts = link->session->counts();
    over_.told += counts.told;
    over_.heard += counts.heard;
    over_.news += counts.news;
    if (link->connected != WallTime{} && link->wanted && !closing_)
        log_.warning("sibling {}: away: {}; {} words were told, {} heard, {} of them news", link->name, why.text(), counts.told, counts.heard,
                     counts.news);
    link->session.reset();
    link->trouble = why.text();
    link->troubled = clock_.wall();
    co_return why;
}

awaitable<void> SiblingDesk::keep(std::shared_ptr<Link> link)
{
    std::chrono::milliseconds pause = sibling_first_pause;
    std::string said;                                               // the last trouble that the log has
    while (link->wanted && !co_await cancelled()) {
        auto connected = ipc::connect_unix(fmt::format("private/{}", link->name));
        if (connected)
            (void)co_await converse(link, net::socket_stream(service_.executor(), *std::move(connected)));
        else {
            link->trouble = fmt::format("private/{}: {}", link->name, connected.error().text());
            link->troubled = clock_.wall();
        }
        const bool was_there = std::exchange(link->connected, WallTime{}) != WallTime{};
        if (was_there) {
            pause = sibling_first_pause;
            said.clear();
        } else if (link->trouble != said && link->wanted && !closing_) {
            log_.warning("sibling {}: no connection: {}", link->name, link->trouble);
            said = link->trouble;
        }
        if (link->wanted && !co_await cancelled())
            co_await link->left.wait_for(pause);
        pause = std::min(2 * pause, sibling_longest_pause);
    }
    links_.remove(link);
}

awaitable<void> SiblingDesk::receive(std::shared_ptr<Link> link, std::unique_ptr<net::Stream> stream)
{
    const Error why = co_await converse(link, std::move(stream));
    if (link->connected == WallTime{} && !closing_)
        log_.warning("a sibling came by posthorn share, and left: {}", why.text());
    links_.remove(link);
}

awaitable<void> SiblingDesk::close()
{
    closing_ = true;
    co_await tasks_.close();
    peers_.book().on_word = nullptr;
    peers_.book().on_way_word = nullptr;
    addresses_.on_word = nullptr;
    addresses_.on_asking = nullptr;
}

awaitable<Result<std::vector<verify::Told>>> SiblingDesk::addresses() { return addresses_.words(addresses_told); }

std::size_t SiblingDesk::hear(const siblings::Words& words, const std::string& by)
{
    std::size_t news = 0;
    for (const siblings::Asked& asked : words.asking)
        addresses_.asked_elsewhere(asked.key, by, asked.over);
    for (const verify::Told& told : words.addresses)
        news += addresses_.hear(told, by) ? 1 : 0;
    for (const peers::WayWord& way : words.ways)
        news += peers_.hear(way, by) ? 1 : 0;
    for (const peers::Word& word : words.peers)
        news += peers_.hear(word, by) ? 1 : 0;
    return news;
}

std::size_t SiblingDesk::connected() const
{
    return static_cast<std::size_t>(std::ranges::count_if(links_, [](const auto& link) { return link->session && link->session->introduced(); }));
}

handoff::Siblings SiblingDesk::standing() const
{
    handoff::Siblings all;
    for (const auto& link : links_) {
        handoff::Sibling& one = *all.add_siblings();
        one.set_name(link->name);
        one.set_named(link->named);
        one.set_host(link->host);
        one.set_version(link->version);
        one.set_connected(link->connected.time_since_epoch().count());
        if (link->session) {
            one.set_told(link->session->counts().told);
            one.set_heard(link->session->counts().heard);
            one.set_news(link->session->counts().news);
        }
        one.set_trouble(link->trouble);
        one.set_troubled(link->troubled.time_since_epoch().count());
    }
    return all;
}

void SiblingDesk::count(handoff::CountersReply& reply) const
{
    siblings::Session::Counts all = over_;
    for (const auto& link : links_)
        if (link->session) {
            all.told += link->session->counts().told;
            all.heard += link->session->counts().heard;
            all.news += link->session->counts().news;
        }
    handoff::count(reply, siblings_connected, connected());
    handoff::count(reply, siblings_told, all.told);
    handoff::count(reply, siblings_heard, all.heard);
    handoff::count(reply, siblings_news, all.news);
}

}  // namespace posthorn::services
