// The process that pushes records (record_file) to record_hook_url: it reads the file as it grows, posts what is new, and keeps how far it got.
#include "base/strings.hpp"
#include "dns/params.hpp"
#include "handoff/counting.hpp"
#include "process/service.hpp"
#include "services/counters.hpp"
#include "services/hook_post.hpp"
#include "services/params.hpp"
#include "services/programs.hpp"
#include "services/record_tail.hpp"
#include "services/startup.hpp"
#include "tls/params.hpp"

#include <filesystem>

namespace posthorn::services {

using namespace std::chrono_literals;
using process::May;

namespace {

/// The answer is about what was sent: a request, a size, a text that the server does not take (RFC 9110 15.5). Others are about who asks, where, or when.
constexpr bool is_of_content(int status) { return status == 400 || status == 413 || status == 415 || status == 422; }

constexpr auto look_again = 200ms, first_retry = 1000ms, longest_retry = 60'000ms, sync_every = 1000ms;

const Clock& hook_clock()
{
    static const SystemClock system;
    return system;
}

dns::Options names_for_hook(const config::Snapshot& snapshot)
{
    dns::Options options = at_start(dns::options_from(snapshot));
    options.host_lookup = {dns::Lookup::native, dns::Lookup::dns};
    return options;
}

/// What is read before the process is confined.
struct PreparedHook {
    explicit PreparedHook(process::Service& service)
        : path(service.config().text("record_file")), authorization_file(service.config().get(record_hook_authorization_file)),
          batch(static_cast<std::size_t>(service.config().get(record_hook_batch_size)))
    {
        auto parsed = net::parse_http_url(service.config().get(record_hook_url));
        if (!parsed)
            throw config::BadValue(fmt::format("parameter {}: {}", record_hook_url.name, parsed.error().text()));
        url = *std::move(parsed);
        if (url.secure && net::IpAddress::parse(url.host))
            throw config::BadValue(
                fmt::format("parameter {}: https needs the name that is in the server's certificate, not an address", record_hook_url.name));
        if (path.empty() || path == "/dev/stdout")
            throw config::BadValue(fmt::format("parameter {} is set, but record_file is no file", record_hook_url.name));
        resolver = std::make_unique<dns::Resolver>(service.executor(), hook_clock(), names_for_hook(service.config()));
        if (url.secure)
            context = at_start(tls::Context::client(tls_for_https(service.config())));
        limit = service.config().get(record_hook_timeout);
        refused_after = service.config().get(record_hook_refused_time);
        if (service.start_record().trial() == 0)
            kept = at_start(PositionFile::open(service.start_record().data_directory() + "/record_hook", service.start_record().uid()));
    }
    std::string path, authorization_file;
    std::size_t batch;
    net::HttpUrl url;
    std::unique_ptr<dns::Resolver> resolver;
    std::shared_ptr<tls::Context> context;  // none: HTTP
    std::chrono::seconds limit{}, refused_after{};
    PositionFile kept;
};

class Hook final : public process::Work {
public:
    Hook(process::Service& service, PreparedHook prepared)
        : service_(service), path_(std::move(prepared.path)), authorization_file_(std::move(prepared.authorization_file)), batch_(prepared.batch),
          refused_after_(prepared.refused_after), resolver_(std::move(prepared.resolver)), kept_(std::move(prepared.kept)),
          poster_(service.executor(), *resolver_, std::move(prepared.context), std::move(prepared.url), prepared.limit), tasks_(service.executor())
    {
    }

    void start() override
    {
        service_.on_file_changed([this](const std::string& path, Fd file) {
            if (path == authorization_file_)
                take_authorization(std::move(file));
        });
        tasks_.spawn(push());
    }

    /// What is under way may have been heard: it goes once more by the next process.
    awaitable<void> stop(process::Stop) override
    {
        co_await tasks_.close();
        poster_.close();
        if (tail_)
            (void)kept_.keep(tail_->position(), true);
    }

    void count(handoff::CountersReply& reply) override
    {
        handoff::count(reply, hook_posted, posted_);
        handoff::count(reply, hook_failed, failed_);
        handoff::count(reply, hook_refused, refused_);
        handoff::count(reply, hook_behind, tail_ ? tail_->behind() : 0);
    }

private:
    awaitable<void> push()
    {
        if (!authorization_file_.empty())
            co_await fetch_authorization();
        while (!kept_.acquire() && !co_await cancelled())  // the process before this one ends its request first
            co_await sleep_for(100ms);
        if (co_await cancelled())
            co_return;
        tail_ = std::make_unique<RecordTail>(path_, kept_.load(), hook_clock());
        while (!co_await cancelled()) {
            const auto rest = co_await step();
            for (const std::string& remark : tail_->take_remarks())
                service_.log().warning("record hook: {}: {}", path_, remark);
            if (rest != 0ms)
                co_await sleep_for(rest);
        }
    }

    /// How long to wait before the next one.
    awaitable<std::chrono::milliseconds> step()
    {
        auto records = tail_->next(most_);
        if (!records) {
            say_trouble(records.error().text());
            co_return longer();
        }
        if (records->empty()) {
            keep();
            co_return look_again;
        }
        const auto answered = co_await poster_.post(hook_request(poster_.url(), authorization_, *records, batch_ > 1));
        if (!answered || *answered / 100 != 2) {
            ++failed_;
            const std::string why = answered ? fmt::format("the answer is {}", *answered) : answered.error().text();
            if (answered && is_of_content(*answered) && one_less(*records, why))
                co_return 0ms;
            say_trouble(why);
            co_return longer();
        }
        most_ = std::min(batch_, most_ * 2);
        refused_since_.reset();
        posted_ += records->size();
        service_.gauges().messages = posted_;
        tail_->advance();
        keep();
        retry_ = first_retry;
        if (std::exchange(in_trouble_, false))
            service_.log().info("record hook: {} takes records again", poster_.url().authority());
        co_return 0ms;
    }

    /// Of several that are refused together fewer are tried, at last each alone; one that was refused for record_hook_refused_time is left out. False: it is
    /// not that long yet.
    bool one_less(const std::vector<std::string_view>& records, std::string_view why)
    {
        if (records.size() > 1) {
            most_ = records.size() / 2;
            return true;
        }
        const SteadyTime now = hook_clock().steady();
        if (!refused_since_)
            refused_since_ = now;
        if (refused_after_ == 0s || now - *refused_since_ < refused_after_)
            return false;
        const std::string_view record = records.front();
        service_.log().warning("record hook: {}: {}: a record is left out after {} s; it stays in {} at octet {}: {}{}", poster_.url().authority(),
                               why, refused_after_.count(), path_, tail_->position().offset, printable(record.substr(0, 200), true),
                               record.size() > 200 ? "..." : "");
        ++refused_;
        refused_since_.reset();
        retry_ = first_retry;
        in_trouble_ = false;
        tail_->advance();
        keep();
        return true;
    }

    /// After each request for the next process, once in a while for a machine that loses power.
    void keep()
    {
        const RecordPosition& position = tail_->position();
        const SteadyTime now = hook_clock().steady();
        const bool sync = synced_ != position && now - synced_at_ >= sync_every;
        if (kept_at_ == position && !sync)
            return;
        if (const auto done = kept_.keep(position, sync); !done)
            return say_trouble(done.error().text());
        kept_at_ = position;
        if (sync) {
            synced_ = position;
            synced_at_ = now;
        }
    }

    /// Once, until it is well again.
    void say_trouble(std::string_view why)
    {
        if (!std::exchange(in_trouble_, true))
            service_.log().warning("record hook: {}: {}; records wait", poster_.url().authority(), why);
    }

    std::chrono::milliseconds longer()
    {
        const auto rest = retry_;
        retry_ = std::min<std::chrono::milliseconds>(retry_ * 2, longest_retry);
        return rest;
    }

    awaitable<void> fetch_authorization()
    {
        auto file = co_await service_.open_file(authorization_file_);
        if (file)
            take_authorization(*std::move(file));
        else
            service_.log().warning("{} {}: {}", record_hook_authorization_file.name, authorization_file_, file.error().text());
    }

    void take_authorization(Fd file)
    {
        std::string content(16 * 1024, '\0');
        const ssize_t got = file ? ::pread(file.get(), content.data(), content.size(), 0) : 0;
        content.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        auto value = authorization_value(content);
        if (!value || value->empty())
            service_.log().warning("{} {}: {}: requests go without", record_hook_authorization_file.name, authorization_file_,
                                   value ? "the file is empty or gone" : value.error().text());
        authorization_ = value ? *std::move(value) : std::string();
    }

    process::Service& service_;
    const std::string path_, authorization_file_;
    const std::size_t batch_;
    const std::chrono::seconds refused_after_;  // 0: never
    std::unique_ptr<dns::Resolver> resolver_;
    PositionFile kept_;
    HttpPoster poster_;
    std::unique_ptr<RecordTail> tail_;  // none: another process has its position still
    std::string authorization_;
    RecordPosition kept_at_, synced_;
    SteadyTime synced_at_{};
    std::chrono::milliseconds retry_ = first_retry;
    bool in_trouble_ = false;
    std::size_t most_ = batch_;  // fewer where several were refused
    std::optional<SteadyTime> refused_since_;  // of the record that is next
    std::uint64_t posted_ = 0, failed_ = 0, refused_ = 0;
    TaskGroup tasks_;
};

}  // namespace

int serve_hook(process::Service& service)
{
    PreparedHook prepared(service);
    process::Confinement confinement{.may = {May::connect, May::resolve, May::read_named},
                                     .readable = {std::filesystem::path(prepared.path).parent_path().string()}};
    service.confine(confinement);
    Hook work(service, std::move(prepared));
    return service.run(work);
}

}  // namespace posthorn::services
