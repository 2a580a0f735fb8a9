#include "commands/stand_alone.hpp"

#include "async/run.hpp"
#include "commands/command.hpp"
#include "commands/drop_program.hpp"
#include "net/stream.hpp"
#include "receive/params.hpp"
#include "receive/server.hpp"
#include "submit/exit_status.hpp"
#include "submit/framing.hpp"
#include "supervisor/log_target.hpp"
#include "tables/params.hpp"

#include <fmt/format.h>

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <map>
#include <thread>

namespace posthorn::commands {

namespace {

using handoff::AddressStanding;

/// Content above what fits a frame, in a file without a name: it is gone with the process.
class Scratch final : public receive::IncomingFolder {
public:
    using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
    class Content final : public receive::IncomingFile {
    public:
        Content(std::FILE* file, std::string name) : file_(file), name_(std::move(name)) {}
        awaitable<Result<void>> append(std::string_view octets) override
        {
            if (std::fwrite(octets.data(), 1, octets.size(), file_) != octets.size())
                co_return system_error("temporary file", errno);
            co_return Result<void>{};
        }
        awaitable<Result<std::string>> read(std::uint64_t offset, std::size_t most) override
        {
            std::string octets(most, '\0');
            if (std::fflush(file_) != 0)
                co_return system_error("temporary file", errno);
            const ssize_t got = ::pread(::fileno(file_), octets.data(), most, static_cast<off_t>(offset));
            if (got < 0)
                co_return system_error("temporary file", errno);
            octets.resize(static_cast<std::size_t>(got));
            co_return octets;
        }
        awaitable<Result<void>> sync() override { co_return Result<void>{}; }   // postdrop syncs its own
        awaitable<Result<void>> give_up_name() override { co_return Result<void>{}; }
        void keep() override {}
        std::string name() const override { return name_; }

    private:
        std::FILE* file_;
        std::string name_;
    };

    awaitable<Result<std::unique_ptr<receive::IncomingFile>>> create(std::string queue_id) override
    {
        File file(std::tmpfile(), std::fclose);
        if (!file)
            co_return system_error("temporary file", errno);
        std::FILE* raw = file.get();
        files_.clear();                                        // of the message before
        files_.emplace(queue_id, std::move(file));
        co_return std::make_unique<Content>(raw, std::move(queue_id));
    }
    /// postdrop finds out about the maildrop's.
    std::uint64_t free_octets() override { return std::uint64_t{1} << 60; }
    std::FILE* file(const std::string& name) { return files_.at(name).get(); }

private:
    std::map<std::string, File> files_;
};

class MailDrop final : public handoff::Queue {
public:
    MailDrop(std::string config_directory, Scratch& scratch) : config_directory_(std::move(config_directory)), scratch_(scratch) {}

    /// The queue gives its own; this one is for the dialogue and its log lines.
    std::optional<std::string> next_queue_id() override { return fmt::format("{:X}{:05X}{:X}", ::time(nullptr) & 0xfffff, ::getpid(), ++count_); }

    awaitable<Result<std::optional<handoff::Refusal>>> enqueue(handoff::Envelope envelope, handoff::Content content,
                                                               std::chrono::milliseconds /*patience*/) override
    {
        // It blocks: there is one session, and it waits for this.
        DropProgram drop(config_directory_);
        bool heard = drop.write(submit::encode_head(envelope.SerializeAsString())) && drop.write(submit::encode_content(content.inline_octets()));
        if (!content.file().empty()) {
            std::FILE* file = scratch_.file(content.file());
            std::rewind(file);
            char piece[65536];
            for (std::size_t got; heard && (got = std::fread(piece, 1, sizeof piece, file)) > 0;)
                heard = drop.write(submit::encode_content({piece, got}));
            if (std::ferror(file))
                co_return Error{"temporary file: read error", "4.3.0"};
        }
        heard = heard && drop.write(submit::encode_end());
        if (drop.finish() != submit::exit_ok || !heard)
            co_return Error{"postdrop did not take the message", "4.3.0"};
        co_return std::nullopt;
    }

private:
    std::string config_directory_;
    Scratch& scratch_;
    unsigned count_ = 0;
};

/// Pickup has it cleaned.
class NoCleaner final : public handoff::Cleaner {
    awaitable<std::expected<handoff::Cleaned, handoff::Refusal>> clean(handoff::Envelope envelope, std::string head) override
    {
        co_return handoff::Cleaned(std::move(envelope), std::move(head));
    }
};

class OwnUser final : public handoff::AddressClasses, public receive::Names {
    awaitable<Result<bool>> in_mynetworks(std::string, std::string) override { co_return true; }
    awaitable<Result<AddressStanding>> standing(std::string) override { co_return AddressStanding{}; }
    awaitable<Result<std::vector<std::string>>> names_of(std::string) override { co_return std::vector<std::string>{"localhost"}; }
    awaitable<Result<std::vector<std::string>>> addresses_of(std::string) override { co_return std::vector<std::string>{"127.0.0.1"}; }
    awaitable<Result<receive::MailHost>> mail_host(std::string) override { co_return receive::MailHost::found; }
    awaitable<dns::Answer> records(std::string, dns::Type) override { co_return dns::Answer{}; }
};

/// A socket whose other end is this process's user.
class UserStream final : public net::Stream {
public:
    UserStream(Executor executor, Fd socket) : inner_(net::socket_stream(std::move(executor), std::move(socket))) {}

    net::Io try_read(std::span<char> room) override { return told(inner_->try_read(room)); }
    net::Io try_write(std::span<const iovec> pieces) override { return told(inner_->try_write(pieces)); }
    net::Io try_flush() override { return told(inner_->try_flush()); }
    awaitable<Result<void>> wait(net::Direction direction) override { return inner_->wait(direction); }
    bool has_buffered() const override { return inner_->has_buffered(); }
    void expires_at(SteadyTime deadline) override { inner_->expires_at(deadline); }
    SteadyTime deadline() const override { return inner_->deadline(); }
    awaitable<Result<void>> shutdown() override { return inner_->shutdown(); }
    void close() override { inner_->close(); }
    void abort() override { inner_->abort(); }
    bool is_open() const override { return inner_->is_open(); }
    const net::Endpoint& peer() const override { return loopback_; }
    const net::Endpoint& local() const override { return loopback_; }
    int native() const override { return inner_->native(); }
    Executor executor() const override { return inner_->executor(); }

private:
    net::Io told(net::Io io) { return io.state == net::Io::State::failed ? fail(inner_->failure()) : io; }

    std::unique_ptr<net::Stream> inner_;
    net::Endpoint loopback_{net::IpAddress::loopback(), 0};
};

/// Blocking, on a thread of its own: standard input may be a file, which no event loop waits for.
void copy(int from, int to)
{
    char piece[16384];
    for (;;) {
        const ssize_t got = ::read(from, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return;
        for (ssize_t put = 0, count; put < got; put += count)
            if ((count = ::write(to, piece + put, static_cast<std::size_t>(got - put))) < 0) {
                if (errno != EINTR)
                    return;
                count = 0;
            }
    }
}

/// What protects a server from strangers.
config::Snapshot without_access_control(const config::Snapshot& snapshot)
{
    std::vector<config::Assignment> settings;
    for (const char* name : {"smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions", "smtpd_recipient_restrictions",
                             "smtpd_data_restrictions", "smtpd_end_of_data_restrictions", "smtpd_etrn_restrictions", "fast_flush_domains"})
        settings.push_back({name, ""});
    for (const auto& [name, value] : {std::pair{"smtpd_relay_restrictions", "permit_mynetworks, reject_unauth_destination"},
                                      {"smtpd_reject_unlisted_recipient", "no"},
                                      {"smtpd_reject_unlisted_sender", "no"},
                                      {"smtpd_tls_security_level", "none"},
                                      {"smtpd_tls_wrappermode", "no"},
                                      {"smtpd_use_tls", "no"},
                                      {"smtpd_enforce_tls", "no"},
                                      {"queue_minfree", "0"},
                                      {"smtpd_milters", ""},       // non_smtpd_milters see it, behind the maildrop
                                      {"smtpd_milter_maps", ""},
                                      {"smtpd_peername_lookup", "yes"},
                                      // A script on standard input comes all at once.
                                      {"smtpd_forbid_unauth_pipelining", "no"}})
        settings.push_back({name, value});
    return snapshot.with(settings, "-bs");
}

}  // namespace

int smtp_dialogue(const config::Snapshot& snapshot)
{
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        throw Failure(fmt::format("socketpair: {}", errno_text(errno)), submit::exit_os);
    Fd near_end(ends[0]), far_end(ends[1]);
    std::signal(SIGPIPE, SIG_IGN);

    static const SystemClock clock;
    const config::Snapshot settings = without_access_control(snapshot);
    const auto sink = supervisor::command_sink(snapshot);
    const observe::Log log(sink, snapshot.text("syslog_name") + "/smtpd");
    asio::io_context loop{1};
    tables::Tables tables(log, clock);
    Scratch scratch;
    MailDrop drop(snapshot.config_directory(), scratch);
    NoCleaner cleaner;
    OwnUser user;
    receive::Server server(loop.get_executor(), receive::Options::from(settings),
                           receive::Outside(drop, cleaner, user, user, tables, scratch, clock, log));

    const int wire = far_end.get();
    std::thread out([wire] { copy(wire, STDOUT_FILENO); });
    std::thread([wire] {                                           // it may wait for input for ever: the process's end is its end
        copy(STDIN_FILENO, wire);
        ::shutdown(wire, SHUT_WR);
    })
        .detach();
    posthorn::run(loop, server.serve(std::make_unique<UserStream>(loop.get_executor(), std::move(near_end))), std::chrono::hours{24 * 365});
    out.join();                                                    // the last reply is out
    std::fflush(nullptr);
    ::_exit(submit::exit_ok);
}

}  // namespace posthorn::commands
