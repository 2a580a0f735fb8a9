#include "services/queue_standby.hpp"

#include "handoff/counting.hpp"
#include "services/counters.hpp"
#include "services/params.hpp"
#include "standby/lineage.hpp"
#include "standby/mirrored_files.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <stdexcept>

namespace posthorn::services {

namespace {

Result<Fd> connect_to(const std::string& place)
{
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    if (place.size() >= sizeof address.sun_path)
        return Error{"the name of its line in master.cf is too long", "4.3.5"};
    std::ranges::copy(place, address.sun_path);
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return Error{fmt::format("connect to {}: {}", place, errno_text(errno)), "4.4.1"};
    return socket;
}

std::string lineage_text(const standby::Lineage& lineage)
{
    return fmt::format("{} since {:%Y-%m-%d %H:%M:%S} UTC, epoch {}", lineage.host, fmt::gmtime(std::chrono::system_clock::to_time_t(lineage.since)),
                       lineage.epoch);
}

}  // namespace

QueueStandby::QueueStandby(process::Service& service, spool::FileOps& files) : service_(service), files_(files)
{
    const auto copy = standby::read_copy_mark(files);
    if (!copy)
        throw std::runtime_error(copy.error().text());
    if (const std::optional<standby::CopyMark>& held = *copy)
        throw std::runtime_error(fmt::format(
            "the queue directory holds the copy of the queue of {}: \"posthorn standby promote\" makes it the queue of this machine", held->of.host));
    const config::Snapshot& config = service.config();
    line_ = config.get(queue_standby);
    if (line_.empty())
        return;
    required_ = config.get(queue_standby_required);
    SystemClock clock;
    auto lineage = standby::lineage_of(files, config.text("myhostname"), clock);
    if (!lineage)
        throw std::runtime_error(lineage.error().text());
    epoch_ = lineage->epoch;
    const auto patience = std::chrono::milliseconds(config.get(queue_standby_timeout));
    standby::Mirror::Options options;
    options.version = POSTHORN_VERSION;
    options.host = config.text("myhostname");
    options.required = required_;
    options.patience = patience;
    const observe::Log log = service.log();
    mirror_.emplace(
        files, *lineage, options, [place = "private/" + line_] { return connect_to(place); }, log,
        standby::Mirror::Events{.superseded =
                                    [log](const standby::Lineage& now) {
                                        log.fatal("this queue went on at {}: nothing of it is delivered from here (docs/standby.md)",
                                                  lineage_text(now));
                                        ::_exit(1);
                                    },
                                .changed =
                                    [this] {
                                        asio::post(service_.executor(), [this] {
                                            if (changed_)
                                                changed_();
                                        });
                                    }});
    mirrored_ = standby::mirrored_files(files, *mirror_);
    mirror_->start();
    // A copy that has become the queue says so before anything is delivered from here.
    mirror_->wait_for_answer(patience);
}

handoff::Standby QueueStandby::standing() const
{
    handoff::Standby said;
    if (!mirror_)
        return said;
    const standby::Mirror::Status status = mirror_->status();
    said.set_state(status.state == standby::Mirror::State::away      ? handoff::Standby::AWAY
                   : status.state == standby::Mirror::State::copying ? handoff::Standby::COPYING
                                                                     : handoff::Standby::IN_STEP);
    said.set_since(status.since.time_since_epoch().count());
    said.set_host(status.host);
    said.set_trouble(status.trouble);
    said.set_octets(status.octets);
    said.set_times_lost(status.times_lost);
    said.set_files(status.files);
    said.set_files_done(status.files_done);
    said.set_required(required_);
    said.set_epoch(epoch_);
    said.set_line(line_);
    return said;
}

void QueueStandby::count(handoff::CountersReply& reply) const
{
    if (!mirror_)
        return;
    const standby::Mirror::Status status = mirror_->status();
    handoff::count(reply, standby_in_step, status.state == standby::Mirror::State::in_step ? 1U : 0U);
    handoff::count(reply, standby_lost, status.times_lost);
    handoff::count(reply, standby_octets, status.octets);
}

}  // namespace posthorn::services
