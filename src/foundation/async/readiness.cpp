#include "async/readiness.hpp"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/detail/epoll_reactor.hpp>
#include <boost/asio/detail/reactor_op.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/recycling_allocator.hpp>
#include <boost/version.hpp>

#include <cerrno>

namespace posthorn {

static_assert(BOOST_VERSION / 100 == 1081, "read Asio's epoll_reactor again: start_op, cancel_ops_by_key and reactor_op are used here");

namespace {

using Reactor = asio::detail::epoll_reactor;

int kind(Readiness::Direction direction) { return direction == Readiness::Direction::read ? Reactor::read_op : Reactor::write_op; }

/// Ends with the first event after it was queued; the attempt that Asio makes when it is queued finds nothing.
template <class Handler>
class Wait final : public asio::detail::reactor_op {
public:
    static Wait* make(Handler handler)
    {
        asio::recycling_allocator<Wait> allocator;
        return new (allocator.allocate(1)) Wait(std::move(handler));
    }
    void queued() { queued_ = true; }
    Handler& handler() { return handler_; }

private:
    explicit Wait(Handler handler) : reactor_op({}, &Wait::perform, &Wait::complete), handler_(std::move(handler)) {}

    static status perform(reactor_op* base) { return static_cast<Wait*>(base)->queued_ ? done : not_done; }

    /// On the loop, as the loop's own operation: the coroutine goes on at once. Without an owner the loop is being destroyed.
    static void complete(void* owner, asio::detail::operation* base, const boost::system::error_code&, std::size_t)
    {
        auto* const self = static_cast<Wait*>(base);
        Handler handler = std::move(self->handler_);
        const int error = self->ec_ == asio::error::operation_aborted ? ECANCELED : self->ec_.value();
        self->~Wait();
        asio::recycling_allocator<Wait>{}.deallocate(self, 1);
        if (owner)
            handler(error);
    }

    Handler handler_;
    bool queued_ = false;
};

struct Cancel {
    void operator()(asio::cancellation_type type)
    {
        if ((type & (asio::cancellation_type::terminal | asio::cancellation_type::partial | asio::cancellation_type::total)) !=
            asio::cancellation_type::none)
            reactor->cancel_ops_by_key(descriptor, *data, which, this);
    }
    Reactor* reactor;
    Reactor::per_descriptor_data* data;
    int descriptor;
    int which;
};

}  // namespace

struct Readiness::Core {
    Core(const Executor& executor, int fd) : reactor(asio::use_service<Reactor>(asio::query(executor, asio::execution::context))), descriptor(fd)
    {
        reactor.init_task();
        error = reactor.register_descriptor(descriptor, data);
    }

    template <class Handler>
    void start(Handler handler, Direction direction, bool exhausted)
    {
        auto* const wait = Wait<Handler>::make(std::move(handler));
        if (auto slot = asio::get_associated_cancellation_slot(wait->handler()); slot.is_connected())
            wait->cancellation_key_ = &slot.template emplace<Cancel>(&reactor, &data, descriptor, kind(direction));
        if (!exhausted)
            wait->queued();                       // asked of the kernel: what is there already counts
        reactor.start_op(kind(direction), descriptor, data, wait, false, exhausted);
        wait->queued();                           // it lives: nothing but the loop completes it
    }

    Reactor& reactor;
    Reactor::per_descriptor_data data{};
    int descriptor;
    int error;
};

Readiness::Readiness(Executor executor, int descriptor) : executor_(executor), core_(std::make_unique<Core>(executor, descriptor)) {}

Readiness::~Readiness() { close(); }

awaitable<int> Readiness::wait(Direction direction, bool exhausted)
{
    if (!core_->data || core_->error != 0)
        co_return core_->data ? core_->error : EBADF;
    co_return co_await asio::async_initiate<decltype(use_awaitable), void(int)>(
        [this](auto handler, Direction way, bool tried) { core_->start(std::move(handler), way, tried); }, use_awaitable, direction, exhausted);
}

void Readiness::cancel()
{
    if (core_->data)
        core_->reactor.cancel_ops(core_->descriptor, core_->data);
}

void Readiness::close()
{
    if (!core_->data)
        return;
    // Taken out of the set by hand: a descriptor that a child inherited would stay in it.
    core_->reactor.deregister_descriptor(core_->descriptor, core_->data, false);
    core_->reactor.cleanup_descriptor_data(core_->data);
    core_->data = nullptr;                        // a waiter that is told later still finds the rest
}

}  // namespace posthorn
