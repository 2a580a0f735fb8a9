// local(8): mail for users of this machine, aliases, .forward files.
#include "base/strings.hpp"
#include "cleanup/params.hpp"
#include "config/list.hpp"
#include "deliver/local_agent.hpp"
#include "deliver/params.hpp"
#include "send/params.hpp"
#include "services/delivery_service.hpp"
#include "services/params.hpp"
#include "services/programs.hpp"
#include "services/queue_link.hpp"
#include "services/spawn_line.hpp"
#include "services/startup.hpp"
#include "tables/own.hpp"
#include "tables/params.hpp"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace posthorn::services {

using handoff::Frame;

namespace {

/// The name service may wait for a network: it is asked on a helper thread.
class SystemAccounts final : public deliver::Accounts {
public:
    awaitable<Result<std::optional<deliver::Account>>> by_name(std::string name) override
    {
        return on_thread(pool_, [name = std::move(name)] {
            return found(
                [&](passwd* entry, char* room, std::size_t size, passwd** result) { return ::getpwnam_r(name.c_str(), entry, room, size, result); });
        });
    }
    awaitable<Result<std::optional<deliver::Account>>> by_uid(uid_t uid) override
    {
        return on_thread(pool_, [uid] {
            return found([&](passwd* entry, char* room, std::size_t size, passwd** result) { return ::getpwuid_r(uid, entry, room, size, result); });
        });
    }

private:
    template <class Ask>
    static Result<std::optional<deliver::Account>> found(Ask ask)
    {
        passwd entry{};
        passwd* result = nullptr;
        std::string room(16 * 1024, '\0');
        int error = ask(&entry, room.data(), room.size(), &result);
        while (error == ERANGE && room.size() < (1U << 20)) {
            room.resize(room.size() * 2);
            error = ask(&entry, room.data(), room.size(), &result);
        }
        if (!result && error != 0 && error != ENOENT && error != ESRCH)
            return system_error("passwd", error);
        if (!result)
            return std::optional<deliver::Account>{};
        return std::optional<deliver::Account>(deliver::Account{entry.pw_name, entry.pw_dir, entry.pw_shell, {entry.pw_uid, entry.pw_gid}});
    }
    Helpers pool_{2};
};

/// Routes and new messages, by resolve and qmgr.
class Outside final : public deliver::LocalOutside {
public:
    explicit Outside(Delivery& delivery)
        : delivery_(delivery), queue_(delivery.service.executor(),
                                      {.socket = std::string(qmgr_socket),
                                       .service = delivery.service.name(),
                                       .long_queue_ids = delivery.service.config().get(enable_long_queue_ids)},
                                      delivery.clock, delivery.service.log())
    {
    }
    void start() { queue_.start(); }
    awaitable<void> close() { return queue_.close(); }

    awaitable<Result<std::vector<handoff::Route>>> route(std::string sender, std::vector<std::string> addresses) override
    {
        handoff::RouteRequest question;
        question.set_sender(std::move(sender));
        for (std::string& address : addresses)
            question.add_addresses(std::move(address));
        CO_TRY(auto reply, co_await delivery_.resolve.call_again<handoff::RouteReply>(Frame::route, std::move(question)));
        if (reply.retry())
            co_return Error{reply.text(), "4.3.0"};
        co_return std::vector<handoff::Route>(reply.routes().begin(), reply.routes().end());
    }

    /// Cleaned by resolve as mail that is handed in, enqueued here: the answer is certain.
    awaitable<Result<std::string>> forward(handoff::Envelope envelope, std::string header, deliver::Message message, std::string transport) override
    {
        handoff::RequeueRequest request;
        std::vector<Fd> descriptors;
        envelope.set_size(header.size() + message.size());
        envelope.set_arrival(delivery_.clock.wall().time_since_epoch().count());
        envelope.clear_queue_id();                // a new mail, which nobody hands in
        envelope.clear_redirect();
        envelope.clear_verp();
        envelope.clear_account();                 // who sent it here sends nothing on
        std::string octets, room(64 * 1024, '\0');
        Fd large;
        if (envelope.size() > handoff::inline_content_limit) {
            large = Fd(::open(std::string(spool_folder).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
            if (!large)
                co_return system_error("a file for what is forwarded", errno);
        }
        const auto put = [&](std::string_view piece) -> Result<void> {
            if (!large) {
                octets += piece;
                return {};
            }
            while (!piece.empty()) {
                const ssize_t written = ::write(large.get(), piece.data(), piece.size());
                if (written < 0 && errno != EINTR)
                    return system_error("a file for what is forwarded", errno);
                if (written > 0)
                    piece.remove_prefix(static_cast<std::size_t>(written));
            }
            return {};
        };
        CO_TRY_VOID(put(header));
        for (std::uint64_t at = 0; at < message.size();) {
            CO_TRY(const std::size_t got, message.read(at, room));
            CO_TRY_VOID(put(std::string_view(room).substr(0, got)));
            at += got;
        }
        if (large)
            descriptors.push_back(std::move(large));
        else
            request.mutable_content()->set_inline_octets(std::move(octets));
        request.set_forwarded(transport.empty());
        request.set_unchanged(!transport.empty());           // it has been at the end of all rewriting
        *request.mutable_envelope() = std::move(envelope);
        auto queue_id = co_await hand_in(&delivery_.resolve, &queue_, std::move(request), std::move(descriptors), [&](handoff::Envelope& made) {
            // A content filter has seen it when it came in.
            made.set_filter(transport);
        });
        // What cleanup does not take stays here: the message was taken.
        if (!queue_id && queue_id.error().status().starts_with('5'))
            co_return Error{queue_id.error().text(), "4" + queue_id.error().status().substr(1)};
        co_return queue_id;
    }

private:
    Delivery& delivery_;
    QueueLink queue_;
};

deliver::Sources sources_of(std::string_view name, std::string_view value)
{
    deliver::Sources sources;
    for (const std::string_view word : split(value, ", \t\r\n")) {
        if (word == "alias")
            sources.alias = true;
        else if (word == "forward")
            sources.forward = true;
        else if (word == "include")
            sources.include = true;
        else
            throw std::runtime_error(fmt::format("unknown {} value \"{}\"", name, word));
    }
    return sources;
}

/// Whose commands a table's entries may start: its file's owner, where that is not root.
std::optional<deliver::Privileges> owner_of(std::string_view spec)
{
    struct stat about{};
    for (const std::string& file : tables::files_of(spec))
        if (::stat(file.c_str(), &about) == 0) {
            if (about.st_uid == 0)
                return std::nullopt;
            if (const passwd* user = ::getpwuid(about.st_uid))
                return deliver::Privileges{user->pw_uid, user->pw_gid};
        }
    return std::nullopt;
}

deliver::LocalOptions options_of(process::Service& service, tables::FileOpener& opener)
{
    const config::Snapshot& config = service.config();
    deliver::LocalOptions options;
    options.delimiter.characters = config.get(tables::recipient_delimiter);
    options.owner_special = options.delimiter.owner_request_special = config.get(tables::owner_request_special);
    options.myorigin = at_start(tables::origin_of(config.get(tables::myorigin), opener));
    options.host = machine_name();
    options.service = service.name();
    options.commands = sources_of("allow_mail_to_commands", config.get(deliver::allow_mail_to_commands));
    options.files = sources_of("allow_mail_to_files", config.get(deliver::allow_mail_to_files));
    options.deliver_header_command = options.deliver_header_file = options.deliver_header_forward = false;
    const std::string prepended = config.get(deliver::prepend_delivered_header);
    for (const std::string_view word : split(prepended, ", \t\r\n")) {
        if (word != "command" && word != "file" && word != "forward")
            throw std::runtime_error(fmt::format("unknown prepend_delivered_header value \"{}\"", word));
        (word == "command" ? options.deliver_header_command : word == "file" ? options.deliver_header_file : options.deliver_header_forward) = true;
    }
    const std::string propagated = config.get(tables::propagate_unmatched_extensions);
    for (const std::string_view word : split(propagated, ", \t\r\n")) {
        options.propagate_alias |= word == "alias";
        options.propagate_forward |= word == "forward";
        options.propagate_include |= word == "include";
    }
    options.expand_owner = config.get(deliver::expand_owner_alias);
    options.reset_owner = config.get(deliver::reset_owner_alias);
    options.require_home = config.get(deliver::require_home_directory);
    options.strict_ownership = config.get(deliver::strict_mailbox_ownership);
    options.forward_path = config.get(deliver::forward_path).text;
    if (config.get(deliver::biff)) {
        const servent* const comsat = ::getservbyname("biff", "udp");
        options.biff_port = comsat ? ntohs(static_cast<std::uint16_t>(comsat->s_port)) : 512;
    }
    options.original_to = config.get(cleanup::enable_original_recipient);
    options.frozen_delivered = config.get(deliver::frozen_delivered_to);
    options.home_mailbox = config.get(deliver::home_mailbox);
    options.spool_directory = config.get(deliver::mail_spool_directory);
    options.mailbox_command = config.get(deliver::mailbox_command).text;
    options.shell = config.get(deliver::local_command_shell);
    options.luser_relay = config.get(deliver::luser_relay).text;
    options.command_directory = config.get(deliver::command_execution_directory).text;
    options.command_filter = config.get(deliver::command_expansion_filter);
    options.directory_filter = config.get(deliver::execution_directory_expansion_filter);
    options.forward_filter = config.get(deliver::forward_expansion_filter);
    options.mailbox_transport = config.get(deliver::mailbox_transport);
    options.fallback_transport = config.get(deliver::fallback_transport);
    options.environment = exported(config.get(export_environment), ::environ);
    options.time_limit = config.get(service_time_limit, service.name());
    options.size_limit = static_cast<std::uint64_t>(config.get(deliver::mailbox_size_limit).count);
    options.lock = at_start(lock_manner(service, config.get(deliver::mailbox_delivery_lock)));
    if (config.get(deliver::sun_mailtool_compatibility)) {
        service.log().warning("sun_mailtool_compatibility: deprecated parameter, use \"mailbox_delivery_lock = dotlock\" instead");
        options.lock.flock = options.lock.fcntl = false;
        if (!options.lock.dotlock)
            throw std::runtime_error("parameter mailbox_delivery_lock specifies no applicable mailbox locking method");
    }
    if (const std::uint64_t message = parse_number(config.text("message_size_limit")).value_or(0);
        options.size_limit != 0 && (message == 0 || message > options.size_limit))
        throw std::runtime_error("main.cf configuration error: mailbox_size_limit is smaller than message_size_limit");
    return options;
}

}  // namespace

int serve_local(process::Service& service)
{
    static constexpr std::string_view parameters[] = {deliver::alias_maps.name,
                                                      deliver::mailbox_transport_maps.name,
                                                      deliver::fallback_transport_maps.name,
                                                      deliver::mailbox_command_maps.name,
                                                      deliver::local_delivery_status_filter.name,
                                                      send::default_delivery_status_filter.name,
                                                      tables::myorigin.name};
    const config::Snapshot& config = service.config();
    Delivery delivery(service, parameters, "local", deliver::local_delivery_status_filter);
    deliver::LocalOptions options = options_of(service, *delivery.files);
    // Without root there is one user only.
    options.default_rights =
        delivery.root ? at_start(delivery.privileges(config.get(deliver::default_privs), "")) : deliver::Privileges{::geteuid(), ::getegid()};
    deliver::LocalAsked asked;
    const std::string aliases = config.get(deliver::alias_maps);
    for (const std::string_view spec : config::split_grouped(aliases)) {
        if (spec.starts_with("nis:")) {
            service.log().warning("alias_maps: {}: NIS is not asked", spec);
            continue;
        }
        asked.aliases.push_back({tables::Maps("alias_maps", spec, {.substitute = false}, delivery.tables), owner_of(spec)});
    }
    const auto maps = [&](const config::Param<std::string>& which) {
        return tables::Maps(std::string(which.name), config.get(which), {.substitute = false}, delivery.tables);
    };
    asked.mailbox_transports = maps(deliver::mailbox_transport_maps);
    asked.fallback_transports = maps(deliver::fallback_transport_maps);
    asked.mailbox_commands = maps(deliver::mailbox_command_maps);
    SystemAccounts accounts;
    Outside outside(delivery);
    deliver::LocalAgent agent(std::move(options), std::move(asked), accounts, outside, delivery.spawner, delivery.teller);
    return run_delivery(delivery, [&](handoff::DeliveryRequest request, Fd content) { return agent.deliver(std::move(request), std::move(content)); },
                        {.start = [&] { outside.start(); }, .close = [&] { return outside.close(); }});
}

}  // namespace posthorn::services
