// SPF of the transaction in hand: asked once, for restrictions and for checks of the message.
#include "receive/session.hpp"

namespace posthorn::receive {

namespace {

/// RFC 7208 4.6.4: at least so long. What is not answered then is not known now.
constexpr std::chrono::seconds spf_patience{20};

awaitable<dns::Answer> answered_too_late()
{
    dns::Answer answer;
    answer.reason = "time limit exceeded";
    co_return answer;
}

}  // namespace

awaitable<std::shared_ptr<const mailauth::SpfFinding>> Session::spf()
{
    const auto client = net::IpAddress::parse(facts_.client_address);
    if (!facts_.sender || !client)
        co_return nullptr;
    SpfAsked asked{.sender = *facts_.sender, .helo = facts_.helo.value_or(""), .client_address = facts_.client_address};
    if (spf_ && spf_->first == asked)
        co_return spf_->second;
    co_await before_wait();
    const SteadyTime end = core_.outside.clock.steady() + spf_patience;
    const mailauth::Ask ask = [&](std::string name, dns::Type type) -> awaitable<dns::Answer> {
        if (core_.outside.clock.steady() >= end)
            return answered_too_late();
        return core_.law.names.records(std::move(name), type);
    };
    mailauth::SpfRequest request(*client, asked.sender, asked.helo, core_.options.myhostname, core_.outside.clock.wall());
    auto found = std::make_shared<const mailauth::SpfFinding>(co_await mailauth::check_spf(std::move(request), ask));
    spf_ = std::make_unique<std::pair<SpfAsked, std::shared_ptr<const mailauth::SpfFinding>>>(std::move(asked), found);
    co_return found;
}

}  // namespace posthorn::receive
