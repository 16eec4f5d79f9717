# The API with what it needs, and nothing of the tests. compose.yaml runs it beside the rest.
FROM node:20-bookworm-slim AS page
WORKDIR /page
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY static ./static
RUN npm run bundle

FROM python:3.11-slim-bookworm
ENV PYTHONUNBUFFERED=1 INSTANCE_PATH=/var/lib/chat
WORKDIR /srv/chat
COPY requirements.txt constraints.txt ./
RUN pip install --no-cache-dir -r requirements.txt \
    && useradd --system --no-create-home chat \
    && install -d -m 700 -o chat -g chat /var/lib/chat
COPY . .
COPY --from=page /page/node_modules/pusher-js ./node_modules/pusher-js
COPY --from=page /page/static/bundle ./static/bundle
USER chat
VOLUME /var/lib/chat
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=30s --interval=30s --timeout=15s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:5000/health')"]
CMD ["gunicorn", "app:app", "--bind", "0.0.0.0:5000"]
