// services/spawner.hpp: one child per delivery, which becomes the recipient: commands by execution, mailboxes by a forked copy.
// Commands  their time limit ends them with all they have started. What they say is read to their end, and kept up to a bound. What they leave behind
//           in the background holds up nothing.
// Hanging   a child that has no answer after `task_limit` is killed and given up: a user's file system need not answer, and he would keep the
//           place of others for ever.
// Stop      end_all() ends the commands; children that write mailboxes finish. Cancelled: the same for one.
#pragma once

#include "deliver/spawner.hpp"
#include "observe/log.hpp"
#include "process/task.hpp"

#include <chrono>
#include <list>
#include <memory>

namespace posthorn::services {

class Spawner final : public deliver::Spawner {
public:
    /// The limit is that of Postfix' daemon_timeout: far from what a slow disk and a mailbox that others lock may take.
    explicit Spawner(Executor executor, std::chrono::seconds task_limit = std::chrono::hours{5})
        : executor_(executor), tasks_(executor), task_limit_(task_limit)
    {
    }

    awaitable<deliver::CommandEnd> run(deliver::CommandRun command) override;
    awaitable<Result<std::string>> as(deliver::Privileges who, std::function<std::string()> task, int keep) override;
    void end_all();
    awaitable<void> close() { return tasks_.close(); }
    std::uint64_t started() const { return started_; }

private:
    struct Running;
    struct Child;
    awaitable<void> feed(std::shared_ptr<Running> running);
    awaitable<void> listen(std::shared_ptr<Running> running);
    awaitable<void> forget(std::shared_ptr<Child> child);

    Executor executor_;
    TaskGroup tasks_;
    std::chrono::seconds task_limit_;
    std::list<std::weak_ptr<Running>> running_;
    std::uint64_t started_ = 0;
};

}  // namespace posthorn::services
