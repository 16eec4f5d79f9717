// Swagger UI over /api/openapi.json. After a login there by "Execute", every other method has the
// token. It stays through a reload, until a logout or until the tab is closed.

import { device, tab } from "./storage.js";

const root = document.getElementById("docs");
const KEPT = "chat/docs-token";

device.remove("authorized"); // where Swagger UI kept it, for ever, until version 1.0

function authorize(value) {
  const schema = { type: "http", scheme: "bearer" };
  ui.authActions.authorize({ bearer: { name: "bearer", schema, value } });
}

function follow(response) {
  const path = new URL(response.url).pathname;
  if (response.status === 200 && /\/api\/(login|refresh|me\/password)$/.test(path)) {
    const { token } = response.obj.data;
    tab.set(KEPT, token);
    authorize(token);
  } else if (response.status === 204 && /\/api\/(logout|me)$/.test(path)) {
    tab.remove(KEPT);
    ui.authActions.logout(["bearer"]);
  }
  return response;
}

const ui = SwaggerUIBundle({
  domNode: root,
  url: root.dataset.contract,
  responseInterceptor: follow,
  onComplete: () => {
    const kept = tab.get(KEPT);
    if (kept) authorize(kept);
  },
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
