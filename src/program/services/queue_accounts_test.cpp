#include "services/queue_manager_test.hpp"

#include <doctest/doctest.h>

#include <filesystem>

using namespace posthorn;
using namespace posthorn::services;
using namespace posthorn::services::testing;

namespace {

struct AccountFixture : Fixture {
    handoff::EnqueueRequest account_mail(std::vector<std::string> recipients, const std::string& account = "login:bob",
                                         const std::string& limits = {})
    {
        handoff::EnqueueRequest request;
        auto& envelope = *request.mutable_envelope();
        envelope.set_queue_id(handoff::short_queue_id(clock.wall(), next_sequence++));
        envelope.set_arrival(clock.wall().time_since_epoch().count());
        envelope.set_sender("a@ours.test");
        envelope.set_account(account);
        envelope.set_account_limits(limits);
        for (std::string& address : recipients) {
            auto& recipient = *envelope.add_recipients();
            recipient.set_index(static_cast<std::uint32_t>(envelope.recipients_size() - 1));
            recipient.set_address(std::move(address));
        }
        request.mutable_content()->set_inline_octets("Subject: x\r\n\r\nbody\r\n");
        envelope.set_size(20);
        return request;
    }
    handoff::EnqueueReply hand_in(handoff::EnqueueRequest request)
    {
        const auto reply = wait(queue->enqueue(std::move(request)));
        REQUIRE(reply);
        settle();
        return *reply;
    }
    void order_account(handoff::Account::Word word, const std::string& account = "login:bob")
    {
        handoff::QueueCommand command;
        command.set_verb(handoff::QueueCommand::ACCOUNT_ORDER);
        command.mutable_account_order()->set_name(account);
        command.mutable_account_order()->set_word(word);
        command.mutable_account_order()->set_by("root");
        REQUIRE(wait(queue->command(command)));
    }
    handoff::Explanation explained(const std::string& id)
    {
        const auto reply = command(handoff::QueueCommand::EXPLAIN, id);
        return reply.explanation();
    }
    handoff::Account told(const std::string& account = "login:bob")
    {
        handoff::QueueCommand command;
        command.set_verb(handoff::QueueCommand::ACCOUNTS);
        command.set_argument(account);
        const auto reply = wait(queue->command(command));
        REQUIRE(reply);
        return reply->accounts_size() == 1 ? reply->accounts(0) : handoff::Account{};
    }
};

}  // namespace

TEST_CASE_FIXTURE(AccountFixture, "queue: a mail beyond its account's limit is refused and nowhere, its file neither; the limit is not kept")
{
    CHECK(hand_in(account_mail({"u@there.test", "v@there.test"}, "login:bob", "recipients=2/h")).committed());
    CHECK(worker.delivered_to.size() == 2);
    CHECK(worker.requests.back().envelope().account_limits().empty());
    auto large = account_mail({"w@there.test"}, "login:bob", "recipients=2/h");
    in_file(large);
    const std::string file = folder + "/incoming/" + large.envelope().queue_id();
    REQUIRE(std::filesystem::exists(file));
    const auto refused = hand_in(std::move(large));
    CHECK_FALSE(refused.committed());
    CHECK(refused.status() == "4.7.1");
    CHECK_FALSE(std::filesystem::exists(file));
    CHECK(in_queue() == 0);
    CHECK(worker.delivered_to.size() == 2);
    CHECK(logged("account bob: beyond 2 recipients within an hour (account_limit_maps): it is put off"));
    CHECK(hand_in(account_mail({"w@there.test"}, "login:alice", "recipients=2/h")).committed());
}

TEST_CASE_FIXTURE(AccountFixture, "queue: mail of an account that an operator held is on hold, and what came back is counted")
{
    worker.verdict_for = [](const std::string& address) {
        return address.starts_with("gone") ? TestWorker::made(handoff::OUTCOME_BOUNCED, "5.1.1", "no such user") : TestWorker::delivered();
    };
    hand_in(account_mail({"gone@there.test", "here@there.test", "gone2@there.test"}));
    CHECK(told().hour().tried() == 3);
    CHECK(told().hour().refused() == 2);
    order_account(handoff::Account::HOLD);
    const std::size_t before = worker.delivered_to.size();
    auto held = account_mail({"held@there.test"});
    const std::string id = held.envelope().queue_id();
    CHECK(hand_in(std::move(held)).committed());
    CHECK(worker.delivered_to.size() == before);
    CHECK(in_queue() == 1);
    CHECK(logged(": hold: account bob: put on hold by root"));
    CHECK(explained(id).hold_reason() == "account bob: put on hold by root");
    CHECK(told().hour().recipients() == 4);
}

TEST_CASE_FIXTURE(AccountFixture, "queue: who hands mail in is known after a restart; what asks for a report of an address hands in nothing")
{
    hand_in(account_mail({"u@there.test"}, "uid:33"));
    order_account(handoff::Account::REFUSE, "uid:33");
    const auto kept = queue->accounts_to_keep();
    REQUIRE(kept);
    CHECK_FALSE(queue->accounts_to_keep());                    // nothing new
    queue->accounts_not_kept();
    CHECK(queue->accounts_to_keep().value_or(handoff::StoredAccounts()).SerializeAsString() == kept->SerializeAsString());
    stop();
    prepare = [&](QueueManager& manager) { manager.restore_accounts(*kept); };
    start();
    CHECK(told("uid:33").hour().recipients() == 1);
    CHECK(hand_in(account_mail({"u@there.test"}, "uid:33")).status() == "5.7.1");
    auto question = account_mail({"u@there.test"}, "uid:33");
    question.mutable_envelope()->set_purpose(handoff::PURPOSE_VERIFY_ADDRESS);
    CHECK(hand_in(std::move(question)).committed());
}
