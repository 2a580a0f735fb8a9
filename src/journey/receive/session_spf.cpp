// SPF of the transaction in hand: asked once, for restrictions and for checks of the message.
#include "receive/session.hpp"

namespace posthorn::receive {

namespace {

/// RFC 7208 4.6.4: at least so long, for all questions together. What is not answered then is not known now.
constexpr std::chrono::seconds spf_patience{20};

struct SpfQuestion {
    explicit SpfQuestion(const Executor& executor) : answered(executor) {}
    Signal answered;
    std::optional<dns::Answer> answer;
};

awaitable<void> ask_for_spf(Names* names, std::shared_ptr<SpfQuestion> question, std::string name, dns::Type type)
{
    question->answer = co_await names->records(std::move(name), type);
    question->answered.notify_all();
}

/// The question goes on by itself, however long it takes; who asks waits until the time is up.
awaitable<dns::Answer> answer_within(std::chrono::milliseconds left, TaskGroup* asking, Names* names, std::string name, dns::Type type)
{
    if (left.count() > 0) {
        const auto question = std::make_shared<SpfQuestion>(asking->executor());
        asking->spawn(ask_for_spf(names, question, std::move(name), type));
        if (!question->answer)
            (void)co_await question->answered.wait_for(left);
        if (auto answer = std::move(question->answer))
            co_return *std::move(answer);
    }
    dns::Answer late;
    late.reason = "time limit exceeded";
    co_return late;
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
    if (!asking_)
        asking_ = std::make_unique<TaskGroup>(core_.executor);
    const mailauth::Ask ask = [&](std::string name, dns::Type type) -> awaitable<dns::Answer> {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - core_.outside.clock.steady());
        return answer_within(left, asking_.get(), &core_.law.names, std::move(name), type);
    };
    mailauth::SpfRequest request(*client, asked.sender, asked.helo, core_.options.myhostname, core_.outside.clock.wall());
    auto found = std::make_shared<const mailauth::SpfFinding>(co_await mailauth::check_spf(std::move(request), ask));
    spf_ = std::make_unique<std::pair<SpfAsked, std::shared_ptr<const mailauth::SpfFinding>>>(std::move(asked), found);
    co_return found;
}

}  // namespace posthorn::receive
