"""The page of `tidegate dashboard`: what goes through local proxies, and a few things to change, in a browser.

`watch.py` asks the proxies while a page is open, `app.py` serves, `page/` is what the browser gets, as it stands there;
all the others are functions of values. aiohttp is imported by `app.py` and `serve.py` only, and they by the command.
"""
