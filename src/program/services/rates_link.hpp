// services/rates_link.hpp: how smtpd tells memory what clients do. `memory` is a started client of the memory process.
#pragma once

#include "handoff/frames.hpp"
#include "handoff/rates.pb.h"
#include "ipc/client.hpp"
#include "receive/outside.hpp"

namespace posthorn::services {

class RatesLink final : public receive::Rates {
public:
    explicit RatesLink(ipc::Client& memory) : memory_(memory) {}
    awaitable<Result<Count>> count(Event event, std::string client) override
    {
        // Without a connection nobody waits for one: the limits are for bad days of others, not of ours.
        const auto channel = memory_.channel();
        if (!channel)
            co_return Error{"memory is not connected"};
        auto told = co_await channel->call<handoff::ClientCount>(handoff::Frame::client_event, made(what_of(event), std::move(client)));
        if (!told)
            co_return std::move(told).error();
        co_return Count{told->connections(), told->rate()};
    }
    void disconnected(std::string client) override
    {
        if (const auto channel = memory_.channel())
            (void)channel->post(handoff::Frame::client_event, made(handoff::ClientEvent::DISCONNECT, std::move(client)));
    }

private:
    static handoff::ClientEvent made(handoff::ClientEvent::What what, std::string client)
    {
        handoff::ClientEvent event;
        event.set_what(what);
        event.set_client(std::move(client));
        return event;
    }
    static handoff::ClientEvent::What what_of(Event event)
    {
        switch (event) {
        case Event::connect: return handoff::ClientEvent::CONNECT;
        case Event::mail: return handoff::ClientEvent::MAIL;
        case Event::rcpt: return handoff::ClientEvent::RCPT;
        case Event::new_tls: return handoff::ClientEvent::NEW_TLS;
        case Event::auth: return handoff::ClientEvent::AUTH;
        case Event::ask_tls: break;
        }
        return handoff::ClientEvent::ASK_TLS;
    }

    ipc::Client& memory_;
};

}  // namespace posthorn::services
