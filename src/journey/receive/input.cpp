#include "receive/input.hpp"

#include <cstring>

namespace posthorn::receive {

std::span<char> Input::room(bool content)
{
    if (!buffer_) {
        pool_ = content ? &bulk_ : &lines_;
        buffer_ = pool_->get();
    }
    if (begin_ > 0 && (end_ == pool_->size() || begin_ == end_)) {
        std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    return {buffer_.get() + end_, pool_->size() - end_};
}

void Input::clear()
{
    if (buffer_)
        pool_->put(std::move(buffer_));
    begin_ = end_ = 0;
}

std::optional<Input::Line> Input::take_line()
{
    const std::string_view octets = view();
    const auto lf = octets.find('\n');
    if (lf == std::string_view::npos) {
        // CR may be part of the line end, so one octet more than the limit is waited for.
        if (octets.size() > line_limit_ + 1) {
            if (!long_line_)
                long_line_ = std::make_unique<std::string>(octets.substr(0, line_limit_));
            clear();
        }
        return std::nullopt;
    }
    std::string_view text = octets.substr(0, lf);
    const bool bare = !text.ends_with('\r') && !(text.empty() && long_line_);
    if (text.ends_with('\r'))
        text.remove_suffix(1);
    Line line(long_line_ ? std::string_view(*long_line_) : text.substr(0, line_limit_), bare, long_line_ || text.size() > line_limit_);
    long_line_.reset();
    consume(lf + 1);
    return line;
}

}  // namespace posthorn::receive
