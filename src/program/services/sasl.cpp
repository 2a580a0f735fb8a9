// Cyrus SASL for smtpd: its library, its plugins and what they read are kept away from who talks to strangers.
#include "ipc/client.hpp"
#include "process/service.hpp"
#include "services/programs.hpp"
#include "services/sasl_link.hpp"
#include "services/startup.hpp"

#include <algorithm>
#include <iterator>

namespace posthorn::services {

using process::May;

namespace {

class SaslService final : public process::Work {
public:
    SaslService(process::Service& service, std::unique_ptr<SaslDesk> desk) : service_(service), desk_(std::move(desk)), tasks_(service.executor()) {}

    void start() override
    {
        for (process::ListeningSocket& listening : service_.take_listeners()) {
            servers_.push_back(std::make_unique<ipc::Server>(service_.executor(), std::move(listening.socket),
                                                             ipc::ChannelOptions{.name = listening.name},
                                                             [this](std::weak_ptr<ipc::Channel>) { return desk_->handler(tasks_); }));
            servers_.back()->start();
        }
    }

    /// A newer generation answers from now on; clients of the old smtpd that are amid AUTH are told to come again.
    awaitable<void> stop(process::Stop) override
    {
        for (const auto& server : servers_)
            co_await server->close();
        co_await tasks_.drained();
    }

private:
    process::Service& service_;
    std::unique_ptr<SaslDesk> desk_;
    TaskGroup tasks_;
    std::vector<std::unique_ptr<ipc::Server>> servers_;
};

std::vector<std::string> readable(const SaslDesk& desk, const process::Service& service)
{
    const process::Start& start = service.start_record();
    std::vector<std::string> ours{start.data_directory(), service.config().config_directory()};
    for (const char* const folder : {"spool", "maildrop", "corrupt"})
        ours.push_back(start.queue_directory() + "/" + folder);
    std::vector<std::string> list = sasl_readable(desk.paths(), ours);
    if (desk.asks_network())
        std::ranges::copy(name_service_files(), std::back_inserter(list));
    return list;
}

}  // namespace

int serve_sasl(process::Service& service)
{
    auto desk = at_start(SaslDesk::open(service.all_configs(), service.start_record()));
    process::Confinement confinement{
        .may = {May::read_named}, .readable = readable(*desk, service), .groups = process::groups_of(service.start_record().uid())};
    if (desk->asks_network())
        confinement.may = {May::read_named, May::connect, May::resolve};
    service.confine(confinement);
    SaslService work(service, std::move(desk));
    return service.run(work);
}

}  // namespace posthorn::services
