// The QMQP server process: smtpd's, with a packet in the place of a session (receive/qmqp_session.hpp).
#include "handoff/interfaces.hpp"
#include "receive/server.hpp"
#include "services/programs.hpp"
#include "services/smtp_front.hpp"

#include <array>

namespace posthorn::services {

namespace {

class QmqpFront final : public Front {
public:
    explicit QmqpFront(receive::Server& sessions) : sessions_(sessions) {}
    awaitable<void> serve(std::unique_ptr<net::Stream> stream) override { return sessions_.serve_qmqp(std::move(stream)); }
    /// Who is connected has one packet: it is waited for as any message on its way in.
    awaitable<void> finish() override { co_return; }
    void hurry() override {}
    void count(handoff::CountersReply&) override {}

private:
    receive::Server& sessions_;
};

/// Nothing of it is asked for here. What is wrong with it is smtpd's business, and needs no power.
const std::array<config::Assignment, 18>& without_smtpd()
{
    static const std::array<config::Assignment, 18> settings{{
        {.name = "smtpd_relay_restrictions", .value = "reject"},
        {.name = "smtpd_client_restrictions", .value = ""},
        {.name = "smtpd_helo_restrictions", .value = ""},
        {.name = "smtpd_sender_restrictions", .value = ""},
        {.name = "smtpd_recipient_restrictions", .value = ""},
        {.name = "smtpd_data_restrictions", .value = ""},
        {.name = "smtpd_end_of_data_restrictions", .value = ""},
        {.name = "smtpd_etrn_restrictions", .value = ""},
        {.name = "smtpd_milters", .value = ""},
        {.name = "smtpd_milter_maps", .value = ""},
        {.name = "smtpd_proxy_filter", .value = ""},
        {.name = "smtpd_upstream_proxy_protocol", .value = ""},
        {.name = "smtpd_sasl_auth_enable", .value = "no"},
        {.name = "smtpd_tls_security_level", .value = "none"},
        {.name = "smtpd_use_tls", .value = "no"},
        {.name = "smtpd_enforce_tls", .value = "no"},
        {.name = "smtpd_tls_wrappermode", .value = "no"},
        {.name = "smtpd_screen_clients", .value = "no"},
    }};
    return settings;
}

}  // namespace

int serve_qmqpd(process::Service& service)
{
    return serve_behind(service, {.protocol = std::string(handoff::qmqp_protocol),
                                  .other_filters = true,
                                  .settings = without_smtpd(),
                                  .complete_header = false,
                                  .make = [](process::Service&, receive::Server& sessions) { return std::make_unique<QmqpFront>(sessions); }});
}

}  // namespace posthorn::services
