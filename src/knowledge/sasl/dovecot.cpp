#include "sasl/dovecot.hpp"

#include "base/strings.hpp"
#include "observe/asked.hpp"
#include "sasl/dovecot_line.hpp"

#include <boost/asio/detached.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <map>

namespace posthorn::sasl {

namespace {

constexpr std::size_t line_octets = 64UL * 1024;
constexpr std::size_t mechanisms_at_most = 100;
constexpr std::size_t unsent_octets = 1UL << 20;     // of questions that it does not read
constexpr std::string_view lost = "Connection lost to authentication server", unreachable = "Can't connect to authentication server";

}  // namespace

struct Dovecot::Core : std::enable_shared_from_this<Core> {
    Core(Executor on, Connect with, Settings what, std::function<void(std::string)> tell)
        : executor(std::move(on)), connect(std::move(with)), settings(std::move(what)), warn(std::move(tell)), changed(executor)
    {
    }

    struct Waiting {
        explicit Waiting(const Executor& executor) : wake(executor) {}
        std::optional<Answer> answer;
        Signal wake;
    };

    Executor executor;
    Connect connect;
    const Settings settings;
    std::function<void(std::string)> warn;
    std::unique_ptr<net::Stream> stream;
    enum class State : std::uint8_t { none, connecting, greeting, ready } state = State::none;
    Signal changed;                                     // of state
    std::vector<Offer> known, heard;                    // of the last whole greeting; of this one
    bool spid = false, versioned = false, closed = false, writing = false;
    std::string out;
    std::uint32_t last_id = 0;
    std::uint64_t ends = 0;                             // of connections, made or not
    std::chrono::steady_clock::time_point heard_at;     // a line, last
    std::map<std::uint32_t, std::shared_ptr<Waiting>> waiting;

    /// Connected, and greeted. One coroutine does it, the others wait.
    awaitable<bool> ready()
    {
        const auto self = shared_from_this();
        const auto until = std::chrono::steady_clock::now() + settings.patience;
        for (const std::uint64_t seen = ends;;) {
            if (state == State::ready || closed)
                co_return !closed;
            if (ends != seen)
                co_return false;                        // it was tried, and told
            if (state == State::none) {
                state = State::connecting;
                asio::co_spawn(executor, [](std::shared_ptr<Core> core) -> awaitable<void> { co_await core->live(); }(self), asio::detached);
                continue;                               // it may have ended already
            }
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
            if (left.count() <= 0 || (!co_await changed.wait_for(left) && state != State::ready && ends == seen)) {
                warn(fmt::format("SASL: Connect to Dovecot auth socket '{}' failed: Connection timed out", settings.path));
                co_return false;
            }
        }
    }

    /// From connecting to the end of the connection.
    awaitable<void> live()
    {
        auto opened = co_await connect();
        if (!opened || closed) {
            if (!closed)
                warn(fmt::format("SASL: Connect to Dovecot auth socket '{}' failed: {}", settings.path, opened.error().what()));
            return_to_none();
            co_return;
        }
        stream = *std::move(opened);
        stream->expires_after(settings.patience);
        state = State::greeting;
        heard.clear();
        spid = versioned = false;
        send(dovecot_greeting(static_cast<std::uint64_t>(::getpid())));
        std::string input;
        bool good = true;
        for (std::string room(4096, '\0'); good && !closed;) {
            const auto got = co_await stream->read_some(room);
            if (!got || *got == 0)
                break;
            input.append(room, 0, *got);
            std::size_t begin = 0;
            for (auto lf = input.find('\n'); good && lf != std::string::npos; lf = input.find('\n', begin)) {
                good = hear(std::string_view(input).substr(begin, lf - begin));
                begin = lf + 1;
            }
            input.erase(0, begin);
            good = good && input.size() <= line_octets;
        }
        if (good && state == State::greeting && !closed)
            warn(fmt::format("SASL: Connect to Dovecot auth socket '{}' failed: lost connection", settings.path));
        stream->close();
        while (writing)                                 // the writer ends with it
            co_await changed.wait();
        stream.reset();
        return_to_none();
    }

    void return_to_none()
    {
        state = State::none;
        ++ends;
        out.clear();
        for (const auto& [id, one] : std::exchange(waiting, {})) {
            one->answer.emplace(Answer::Kind::later, std::string(lost));
            one->wake.notify_all();
        }
        changed.notify_all();
    }

    /// False: this is no server to go on with.
    bool hear(std::string_view text)
    {
        heard_at = std::chrono::steady_clock::now();
        DovecotLine line = parse_dovecot_line(text);
        using Kind = DovecotLine::Kind;
        if (line.kind == Kind::wrong) {
            warn(fmt::format("SASL: Protocol error: {}", printable(text.substr(0, text.find('\t')))));
            return false;
        }
        if (line.kind == Kind::answer) {
            const auto at = waiting.find(line.id);
            if (state != State::ready || at == waiting.end())
                return true;                            // of one that was given up
            at->second->answer.emplace(std::move(line.answer));
            at->second->wake.notify_all();
            return true;
        }
        if (state != State::greeting)
            return true;
        if (line.kind == Kind::version) {
            versioned = true;
            if (line.major != 1)
                warn(fmt::format("SASL: Protocol version mismatch ({} vs. 1)", line.major));
            return line.major == 1;
        }
        spid = spid || line.kind == Kind::spid;
        if (line.kind == Kind::mechanism && !line.is_private && heard.size() < mechanisms_at_most)
            heard.emplace_back(std::move(line.name), line.has);
        if (line.kind != Kind::done)
            return true;
        if (!versioned || !spid) {
            warn(versioned ? "SASL: Connected to wrong auth socket (auth-master instead of auth-client)" : "SASL: Protocol version error");
            return false;
        }
        known = heard;
        state = State::ready;
        stream->expires_never();
        changed.notify_all();
        return true;
    }

    void send(std::string text)
    {
        if (stream && out.size() + text.size() > unsent_octets) {
            give_up_on("it reads nothing");
            return;
        }
        out += text;
        if (!writing && stream) {
            writing = true;
            asio::co_spawn(
                executor, [](std::shared_ptr<Core> core) -> awaitable<void> { co_await core->write(); }(shared_from_this()), asio::detached);
        }
    }

    awaitable<void> write()
    {
        while (!out.empty() && stream->is_open()) {
            const std::string text = std::exchange(out, {});
            if (!co_await stream->write(std::string_view(text))) {
                stream->close();
                break;
            }
        }
        writing = false;
        changed.notify_all();
    }

    /// The connection, not the server: the next need makes another.
    void give_up_on(std::string_view why)
    {
        if (!stream || !stream->is_open())
            return;
        warn(fmt::format("SASL: Dovecot auth socket '{}': {}", settings.path, why));
        stream->close();
    }

    void close()
    {
        closed = true;
        if (stream)
            stream->close();
        return_to_none();
    }
};

namespace {

class DovecotExchange final : public Exchange {
public:
    explicit DovecotExchange(std::shared_ptr<Dovecot::Core> core) : core_(std::move(core)) {}
    ~DovecotExchange() override { give_up(); }

    awaitable<Answer> begin(Question question) override { return timed(begin_with(std::move(question))); }
    awaitable<Answer> respond(std::string response) override { return timed(respond_with(std::move(response))); }

private:
    awaitable<Answer> timed(awaitable<Answer> exchanged)
    {
        observe::Question asked(observe::Helper::sasl, core_->settings.path);
        Answer answer = co_await std::move(exchanged);
        asked.ended(answer.kind != Answer::Kind::later);
        co_return answer;
    }

    awaitable<Answer> begin_with(Question question)
    {
        if (!co_await core_->ready())
            co_return Answer(Answer::Kind::later, std::string(unreachable));
        id_ = ++core_->last_id == 0 ? ++core_->last_id : core_->last_id;
        waiting_ = std::make_shared<Dovecot::Core::Waiting>(core_->executor);
        core_->waiting[id_] = waiting_;
        core_->send(dovecot_question(id_, question, core_->settings.service));
        co_return co_await wait();
    }

    awaitable<Answer> respond_with(std::string response)
    {
        if (!waiting_ || !core_->waiting.contains(id_))
            co_return Answer(Answer::Kind::later, std::string(lost));
        core_->send(dovecot_response(id_, response));
        co_return co_await wait();
    }

    awaitable<Answer> wait()
    {
        const auto asked = std::chrono::steady_clock::now(), until = asked + core_->settings.exchange_patience;
        while (!waiting_->answer) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
            if (left.count() <= 0 || (!co_await waiting_->wake.wait_for(left) && !waiting_->answer)) {
                give_up();
                if (core_->heard_at < asked)            // nobody's answer either: it hangs, or is gone without a word
                    core_->give_up_on("it answers nothing");
                co_return Answer(Answer::Kind::later, std::string(lost));
            }
            if (co_await cancelled())
                break;
        }
        Answer answer(Answer::Kind::later, std::string(lost));
        if (auto got = std::exchange(waiting_->answer, std::nullopt))
            answer = *std::move(got);
        if (answer.kind != Answer::Kind::more)
            core_->waiting.erase(id_);
        co_return answer;
    }

    void give_up()
    {
        if (waiting_ && core_->waiting.erase(id_) != 0)
            core_->send(dovecot_cancel(id_));
    }

    std::shared_ptr<Dovecot::Core> core_;
    std::shared_ptr<Dovecot::Core::Waiting> waiting_;
    std::uint32_t id_ = 0;
};

}  // namespace

Dovecot::Dovecot(Executor executor, Connect connect, Settings settings, std::function<void(std::string)> warn)
    : core_(std::make_shared<Core>(std::move(executor), std::move(connect), std::move(settings), std::move(warn)))
{
}

Dovecot::~Dovecot() { core_->close(); }

awaitable<Result<std::vector<Offer>>> Dovecot::offers()
{
    const auto core = core_;
    const bool here = co_await core->ready();
    if (!here && core->known.empty())
        co_return Error("no SASL authentication mechanisms", "4.7.0");
    co_return core->known;
}

std::unique_ptr<Exchange> Dovecot::exchange() { return std::make_unique<DovecotExchange>(core_); }

}  // namespace posthorn::sasl
