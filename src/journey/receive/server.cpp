#include "receive/server.hpp"

#include "receive/connect_server.hpp"
#include "receive/core.hpp"
#include "receive/qmqp_session.hpp"
#include "receive/screen/gate.hpp"
#include "receive/session.hpp"
#include "sasl/dovecot.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>

namespace posthorn::receive {

Server::Core::Core(Executor on, Options with, Outside from)
    : executor(std::move(on)), options(std::move(with)), outside(std::move(from)),
      dns_filter("smtpd_dns_reply_filter", options.dns_reply_filter, tables::Flags{}, outside.tables),
      filtered(outside.names, dns_filter, outside.log), law(executor, options.policy, outside.tables, outside.classes,
                                                            dns_filter.empty() ? outside.names : static_cast<Names&>(filtered), outside.verifier),
      ceiling(options.memory_limit), places(options.idle_session_limit, options.transaction_limit),
      buffers(std::max({std::size_t{16} * 1024, options.line_length_limit + 1024, options.sasl.enable ? options.sasl.response_limit + 1024 : 0})),
      content_buffers(Content::block, 4),
      sasl_mechanisms(tables::ListKind::strings, "smtpd_sasl_mechanism_filter", options.sasl.mechanism_filter, false, outside.tables),
      sasl_exceptions(tables::ListKind::hosts, "smtpd_sasl_exceptions_networks", options.sasl.exceptions, options.mynetworks_parent_style,
                      outside.tables),
      xclient_hosts(tables::ListKind::hosts, "smtpd_authorized_xclient_hosts", options.xclient_hosts, options.mynetworks_parent_style,
                    outside.tables),
      xforward_hosts(tables::ListKind::hosts, "smtpd_authorized_xforward_hosts", options.xforward_hosts, options.mynetworks_parent_style,
                     outside.tables),
      bare_newline_exclusions(tables::ListKind::hosts, "smtpd_forbid_bare_newline_exclusions", options.bare_newline_exclusions,
                              options.mynetworks_parent_style, outside.tables),
      noop_commands(tables::ListKind::strings, "smtpd_noop_commands", options.noop_commands, false, outside.tables),
      forbidden_commands(tables::ListKind::strings, "smtpd_forbidden_commands", options.forbidden_commands, false, outside.tables),
      etrn_domains(tables::ListKind::domains, "fast_flush_domains", options.etrn_domains, true, outside.tables),
      debug_peers(tables::ListKind::hosts, "debug_peer_list", options.debug_peers, options.debug_peers_parent_style, outside.tables),
      pipe_connect_hosts(tables::ListKind::hosts, "smtpd_pipe_connect_hosts", options.pipe_connect_hosts, options.mynetworks_parent_style,
                         outside.tables),
      unlimited_clients(tables::ListKind::hosts, "smtpd_client_event_limit_exceptions", options.client.exceptions, options.client.parent_style,
                        outside.tables),
      verp_clients(tables::ListKind::hosts, "smtpd_authorized_verp_clients", options.verp_clients, false, outside.tables),
      release_clients(tables::ListKind::hosts, "smtpd_future_release_clients", options.release_clients, options.mynetworks_parent_style,
                      outside.tables),
      qmqp_clients(tables::ListKind::hosts, "qmqpd_authorized_clients", options.qmqp.clients, options.qmqp.parent_style, outside.tables),
      delivery_answer_domains(tables::ListKind::domains, "smtpd_delivery_answer_domains", options.delivery_answer_domains, false, outside.tables),
      discard_ehlo_keywords("smtpd_discard_ehlo_keyword_address_maps", options.discard_ehlo_keyword_maps, tables::Flags{}, outside.tables),
      command_filter("smtpd_command_filter", options.command_filter, tables::Flags{}, outside.tables),
      reject_filter("smtpd_reject_filter_maps", options.reject_filter_maps, tables::Flags{}, outside.tables),
      reject_footers("smtpd_reject_footer_maps", options.reject_footer_maps, tables::Flags{}, outside.tables),
      milter_maps("smtpd_milter_maps", options.milters.smtpd_maps, tables::Flags{}, outside.tables)
{
    instance_base = {static_cast<std::uint64_t>(::getpid()),
                     static_cast<std::uint64_t>(std::chrono::floor<std::chrono::seconds>(outside.clock.wall().time_since_epoch()).count())};
    if (options.sasl.enable && options.sasl.dovecot) {
        AuthConnector connect = outside.auth_connector;
        if (!connect)
            connect = [this] { return connect_server(executor, options.sasl.server, outside.names, std::chrono::seconds{10}); };
        logins = std::make_unique<sasl::Dovecot>(executor, std::move(connect),
                                                 sasl::Dovecot::Settings{.service = options.sasl.service, .path = options.sasl.path},
                                                 [log = outside.log](std::string text) { log.warning("{}", text); });
    } else if (options.sasl.enable && outside.cyrus)
        logins = outside.cyrus();
    for (const auto* list :
         {&sasl_mechanisms, &sasl_exceptions, &xclient_hosts, &xforward_hosts, &bare_newline_exclusions, &noop_commands, &forbidden_commands,
          &etrn_domains, &debug_peers, &pipe_connect_hosts, &unlimited_clients, &verp_clients, &release_clients, &delivery_answer_domains})
        for (const std::string& problem : list->problems())
            outside.log.warning("{}: {}", list->parameter(), problem);
    for (const std::string& word : options.discard_ehlo_keywords.unknown)              // a keyword of another Postfix's is no reason not to serve
        outside.log.warning("smtpd_discard_ehlo_keywords: unknown EHLO keyword \"{}\" is ignored", word);
    if (options.tls_require_certificate && options.tls_level != TlsLevel::encrypt)
        outside.log.warning("Can't require client certs unless TLS is required");
    if (options.screen.enabled && options.tls_wrapper)
        outside.log.warning("smtpd_tls_wrappermode = yes: clients are not tested before the greeting, as they speak first");
    else if (options.screen.enabled)
        gate = std::make_unique<screen::Gate>(*this, outside.screen_log);
}

Server::Core::~Core() = default;

Server::Server(Executor executor, Options options, Outside outside)
    : core_(std::make_unique<Core>(std::move(executor), std::move(options), std::move(outside)))
{
}

Server::~Server() = default;

namespace {

awaitable<void> turn_away(Server::Core& core, std::unique_ptr<net::Stream> stream)
{
    stream->expires_after(std::chrono::seconds{5});
    const std::string reply = "421 4.3.2 " + core.options.myhostname + " Service temporarily unavailable";
    const std::string address = stream->peer().is_unix() ? std::string() : stream->peer().ip.text();
    core.note_rejection(handoff::Rejected{
        .command = "CONNECT", .reply = reply, .by = "memory", .client_name = "unknown", .client_address = address, .protocol = "SMTP"});
    core.outside.log.info("NOQUEUE: reject: CONNECT from unknown[{}]: {}; proto=SMTP", stream->peer().ip.text(), reply);
    const std::string line = reply + "\r\n";
    (void)co_await stream->write(line);
    (void)co_await stream->shutdown();
    stream->close();
}

std::string no_place(const Server::Core& core, bool fits)
{
    return fits ? fmt::format("{} sessions, and none of them idle: smtpd_idle_session_limit is reached", core.places.sessions())
                : core.ceiling.text();
}

}  // namespace

awaitable<void> Server::serve(std::unique_ptr<net::Stream> stream)
{
    ++core_->connections;
    // The session's own share of memory is taken before anything is allocated for it.
    Ceiling::Share share(core_->ceiling);
    const bool fits = share.set(Session::resting_octets);
    screen::Arrival arrival(std::move(stream));
    if (fits && core_->gate) {
        arrival = co_await core_->gate->admit(std::move(arrival.stream));
        if (!arrival.stream)
            co_return;
    }
    if (!fits || !core_->places.enter()) {
        core_->outside.log.warning("{}", no_place(*core_, fits));
        co_await turn_away(*core_, std::move(arrival.stream));
        co_return;
    }
    const auto session = std::make_unique<Session>(*core_, std::move(arrival));
    co_await session->run();
    core_->places.leave(session->dismissed());
}

awaitable<void> Server::serve_qmqp(std::unique_ptr<net::Stream> stream)
{
    ++core_->connections;
    Ceiling::Share share(core_->ceiling);
    const bool fits = share.set(Session::resting_octets);
    if (!fits || !core_->places.enter()) {
        core_->outside.log.warning("{}", no_place(*core_, fits));
        stream->close();
        co_return;
    }
    const auto session = std::make_unique<QmqpSession>(*core_, std::move(stream));
    co_await session->run();
    core_->places.leave(false);
}

void Server::drain() { core_->draining = true; }

void Server::close()
{
    core_->draining = core_->closing = true;
    core_->places.dismiss_all();
    if (core_->gate)
        core_->gate->close();
}

const observe::Tally<3>& Server::rejections() const { return core_->rejections; }
const observe::Tally<3>& Server::reject_warnings() const { return core_->reject_warnings; }

Ceiling::Share Server::share() { return Ceiling::Share(core_->ceiling); }

const Options& Server::options() const { return core_->options; }

Server::Counters Server::counters() const
{
    Counters counters;
    counters.sessions = core_->places.sessions();
    counters.transactions = core_->places.transactions();
    counters.idle = core_->places.idle();
    counters.buffers = core_->buffers.in_use() + core_->content_buffers.in_use();
    counters.memory = core_->ceiling.used();
    counters.accepted = core_->accepted;
    counters.connections = core_->connections;
    counters.refused_for_memory = core_->ceiling.refusals();
    counters.stressed = core_->stressed();
    return counters;
}

}  // namespace posthorn::receive
