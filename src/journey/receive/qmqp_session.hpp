// receive/qmqp_session.hpp: one client that speaks QMQP: a packet, an answer, the end.               https://cr.yp.to/proto/qmqp.html, qmqpd(8)
// Answers  one netstring: "Ktext" the message is on stable storage, "Ztext" not now, "Dtext" never. No recipient is refused alone.
// Who      qmqpd_authorized_clients alone decides; the restrictions of SMTP have no say.
// Log      as postfix/qmqpd. What an answer refuses is said with the queue id, which a message has before it comes.
// Memory   a packet is held whole, against the ceiling.
#pragma once

#include "receive/client_name.hpp"
#include "receive/content.hpp"
#include "receive/core.hpp"
#include "receive/qmqp_packet.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace posthorn::receive {

class QmqpSession {
public:
    QmqpSession(Server::Core& core, std::unique_ptr<net::Stream> stream);
    QmqpSession(QmqpSession&&) = delete;

    awaitable<void> run();

private:
    enum class Kind : char { taken = 'K', later = 'Z', never = 'D' };

    awaitable<void> converse();
    awaitable<bool> read();
    awaitable<void> take();
    awaitable<void> pass_on(Content& content);
    awaitable<void> show(Content& content);
    awaitable<void> refuse(handoff::Refusal refusal);
    awaitable<void> answer(Kind kind, std::string text);
    awaitable<void> part();
    handoff::Envelope envelope() const;
    std::unique_ptr<Content> begin_content(handoff::Envelope envelope);
    void broken(std::string_view reason);

    Server::Core& core_;
    std::unique_ptr<net::Stream> stream_;
    ClientName client_;
    std::string address_, namaddr_;
    std::uint16_t port_ = 0;
    std::string queue_id_;
    std::int64_t arrival_ = 0;
    QmqpPacket packet_;
    Ceiling::Share share_;  // of what the packet holds
    std::string where_;  // what was going on when it broke off
};

}  // namespace posthorn::receive
