#include "net/deadline.hpp"

namespace posthorn::net {

struct Deadline::Core : std::enable_shared_from_this<Core> {
    Core(Executor executor, std::function<void()> on_expiry) : timer(std::move(executor)), expired(std::move(on_expiry)) {}

    void arm()
    {
        if (at == SteadyTime::max() || (armed && timer.expiry() <= at))
            return;
        timer.expires_at(at);
        armed = true;
        timer.async_wait([self = shared_from_this()](boost::system::error_code error) {
            if (error || !self->expired)                              // moved, or the stream is gone
                return;
            self->armed = false;
            if (self->waiting == 0)
                return;
            if (std::chrono::steady_clock::now() >= self->at)
                self->expired();
            else
                self->arm();
        });
    }

    asio::steady_timer timer;
    std::function<void()> expired;
    SteadyTime at = SteadyTime::max();
    int waiting = 0;
    bool armed = false;
};

Deadline::Deadline(Executor executor, std::function<void()> expired) : core_(std::make_shared<Core>(std::move(executor), std::move(expired))) {}

Deadline::~Deadline()
{
    core_->expired = nullptr;
    core_->timer.cancel();
}

void Deadline::set(SteadyTime at)
{
    core_->at = at;
    if (core_->waiting > 0)
        core_->arm();
}

SteadyTime Deadline::at() const { return core_->at; }

Deadline::Waiting::Waiting(Deadline& deadline) : deadline_(deadline)
{
    ++deadline_.core_->waiting;
    deadline_.core_->arm();
}

Deadline::Waiting::~Waiting() { --deadline_.core_->waiting; }

}  // namespace posthorn::net
