// Cyrus SASL for smtpd: its library, its plugins and what they read are kept away from who talks to strangers.
#include "ipc/client.hpp"
#include "process/service.hpp"
#include "services/programs.hpp"
#include "services/sasl_link.hpp"
#include "services/startup.hpp"

#include <unistd.h>

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

/// What may be opened. A file that is not there yet may come: its folder, where it is not one that has everybody's files.
std::vector<std::string> readable(const SaslDesk& desk)
{
    std::vector<std::string> list;
    if (desk.asks_network())
        list = name_service_files();
    for (const std::string& path : desk.paths()) {
        const std::string folder = path.substr(0, path.rfind('/'));
        if (::access(path.c_str(), F_OK) == 0)
            list.push_back(path);
        else if (!folder.empty() && folder != "/etc")
            list.push_back(folder);
    }
    return list;
}

}  // namespace

int serve_sasl(process::Service& service)
{
    auto desk = at_start(SaslDesk::open(service.all_configs(), service.start_record()));
    process::Confinement confinement{
        .may = {May::read_named}, .readable = readable(*desk), .groups = process::groups_of(service.start_record().uid())};
    if (desk->asks_network())
        confinement.may = {May::read_named, May::connect, May::resolve};
    service.confine(confinement);
    SaslService work(service, std::move(desk));
    return service.run(work);
}

}  // namespace posthorn::services
