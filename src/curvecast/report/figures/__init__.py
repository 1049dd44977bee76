"""Figures: functions that take frames and return matplotlib figures; `style.save` writes them."""
