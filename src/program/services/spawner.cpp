#include "services/spawner.hpp"

#include "services/spawn_line.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

namespace posthorn::services {

namespace {

using Descriptor = asio::posix::stream_descriptor;
constexpr auto as_result = asio::as_tuple(use_awaitable);
constexpr std::size_t answer_limit = 16U << 20;
/// As who runs the mail system, where it is not root's.
std::optional<process::RunAs> user_of(deliver::Privileges who)
{
    if (::geteuid() == who.uid && ::getegid() == who.gid)
        return std::nullopt;
    return process::RunAs{who.uid, who.gid};
}

struct Pipe {
    Fd read, write;
};
Result<Pipe> make_pipe()
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        return system_error("pipe", errno);
    return Pipe{Fd(ends[0]), Fd(ends[1])};
}

void do_not_block(int descriptor) { ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK); }

/// Until it has ended; its wait status. Asked to stop, it is killed first.
awaitable<int> ended(Descriptor* process, pid_t pid, std::function<void()> kill)
{
    int status = 0;
    while (::waitpid(pid, &status, WNOHANG) == 0) {
        if (co_await cancelled()) {
            kill();
            ::waitpid(pid, &status, 0);
            break;
        }
        (void)co_await process->async_wait(asio::posix::descriptor_base::wait_read, as_result);
    }
    co_return status;
}

}  // namespace

struct Spawner::Running {
    Running(const Executor& executor, process::RunningCommand started, Fd input, Fd output, std::function<Result<std::string>()> pieces_)
        : command(std::move(started)), process(executor, command.process.release()), in(executor, input.release()), out(executor, output.release()),
          pieces(std::move(pieces_)), heard(executor)
    {
    }
    void kill()
    {
        if (!over)
            process::end_command(command);
    }
    bool wants_more() const { return end.output.size() < deliver::command_output_limit; }
    void keep(std::string_view text)
    {
        end.output.append(text.substr(0, deliver::command_output_limit - std::min(deliver::command_output_limit, end.output.size())));
    }
    process::RunningCommand command;
    Descriptor process, in, out;
    std::function<Result<std::string>()> pieces;
    deliver::CommandEnd end;
    Signal heard;
    bool over = false, listening = true;
};

awaitable<void> Spawner::feed(std::shared_ptr<Running> running)
{
    while (true) {
        auto piece = running->pieces();
        if (!piece) {
            running->end.not_fed = std::move(piece).error();
            running->kill();                                       // before it takes the part for the whole
            break;
        }
        if (piece->empty())
            break;
        const auto [error, written] = co_await asio::async_write(running->in, asio::buffer(*piece), as_result);
        if (error)
            break;                                                 // it has heard enough: its status says what that means
    }
    boost::system::error_code ignored;
    running->in.close(ignored);
}

awaitable<void> Spawner::listen(std::shared_ptr<Running> running)
{
    std::array<char, 4096> room{};
    while (true) {
        const auto [error, got] = co_await running->out.async_read_some(asio::buffer(room), as_result);
        if (!error)
            running->keep({room.data(), got});
        if (error || running->over)
            break;
    }
    running->listening = false;
    running->heard.notify_all();
}

awaitable<deliver::CommandEnd> Spawner::run(deliver::CommandRun run)
{
    const auto failed = [](Error error) {
        deliver::CommandEnd end;
        end.not_executed = std::move(error);
        return end;
    };
    process::Command command;
    auto program = program_path(run.words.front(), run.root);
    auto input = make_pipe(), output = make_pipe();
    if (!program || !input || !output)
        co_return failed(!program ? program.error() : !input ? input.error() : output.error());
    command.program = *std::move(program);
    command.words = std::move(run.words);
    command.environment = std::move(run.environment);
    command.root = std::move(run.root);
    command.directory = std::move(run.directory);
    command.user = user_of(run.as);
    command.file_mask = 077;
    command.input = input->read.get();
    command.output = command.error = output->write.get();
    auto started = process::start_command(command);
    if (!started)
        co_return failed(started.error());
    ++started_;
    input->read.reset();
    output->write.reset();
    do_not_block(input->write.get());
    do_not_block(output->read.get());
    const auto running =
        std::make_shared<Running>(executor_, *std::move(started), std::move(input->write), std::move(output->read), std::move(run.input));
    std::erase_if(running_, [](const auto& one) { return one.expired(); });
    running_.push_back(running);
    tasks_.spawn(feed(running));
    tasks_.spawn(listen(running));
    asio::steady_timer limit(executor_, run.time_limit);
    limit.async_wait([running](boost::system::error_code error) {
        if (error || running->over)
            return;
        running->end.late = true;
        running->kill();
    });
    const int status = co_await ended(&running->process, running->command.pid, [running] { running->kill(); });
    running->over = true;
    running->end.status = status;
    // Its last words are in the pipe by now, or on their way here; whoever it left behind may hold the other end for long.
    boost::system::error_code ignored;
    running->out.cancel(ignored);
    while (running->listening)
        (void)co_await running->heard.wait_for(std::chrono::milliseconds(100));
    // No more than is kept: it may go on writing as fast as we read.
    std::array<char, 4096> room{};
    for (ssize_t got; running->wants_more() && (got = ::read(running->out.native_handle(), room.data(), room.size())) > 0;)
        running->keep({room.data(), static_cast<std::size_t>(got)});
    running->in.close(ignored);
    running->out.close(ignored);
    running->end.not_executed = process::execution_error(command, running->command);
    co_return running->end;
}

/// A forked copy at its work.
struct Spawner::Child {
    Child(const Executor& executor, process::RunningTask started)
        : pid(started.pid), process(executor, started.process.release()), answer(executor, started.answer.release())
    {
    }
    pid_t pid;
    Descriptor process, answer;
    bool late = false;
};

/// What waits for a file system may not be killed either: it is not waited for by the mail.
awaitable<void> Spawner::forget(std::shared_ptr<Child> child)
{
    while (::waitpid(child->pid, nullptr, WNOHANG) == 0 && !co_await cancelled())
        (void)co_await child->process.async_wait(asio::posix::descriptor_base::wait_read, as_result);
}

awaitable<Result<std::string>> Spawner::as(deliver::Privileges who, std::function<std::string()> task, int keep)
{
    CO_TRY(process::RunningTask started, process::start_task(user_of(who), task, keep));
    ++started_;
    do_not_block(started.answer.get());
    const auto child = std::make_shared<Child>(executor_, std::move(started));
    boost::system::error_code ignored;
    asio::steady_timer limit(executor_, task_limit_);
    limit.async_wait([child](boost::system::error_code error) {
        if (error || !child->answer.is_open())
            return;
        child->late = true;
        child->answer.cancel(error);
    });
    std::string said;
    std::array<char, 4096> room{};
    while (said.size() <= answer_limit) {
        const auto [error, got] = co_await child->answer.async_read_some(asio::buffer(room), as_result);
        if (child->late && error != asio::error::eof) {
            ::kill(child->pid, SIGKILL);
            tasks_.spawn(forget(child));
            co_return Error{fmt::format("what was done as user {} took longer than {} s", who.uid, task_limit_.count()), "4.3.0"};
        }
        if (error && !co_await cancelled())
            break;
        if (error)
            co_return Error{"the process ends", "4.3.2"};          // the child finishes; who ends it has no use for the answer
        said.append(room.data(), got);
    }
    child->answer.close(ignored);                                  // of an answer without end it would still be writing
    (void)co_await ended(&child->process, child->pid, [] {});
    co_return process::answer_of(said);
}

void Spawner::end_all()
{
    for (const auto& one : running_)
        if (const auto running = one.lock())
            running->kill();
}

}  // namespace posthorn::services
