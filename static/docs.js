// Swagger UI over /api/openapi.json. After a login there by "Execute", every other method has the
// token. It stays through a reload, until a logout.

const root = document.getElementById("docs");

function follow(response) {
  const path = new URL(response.url).pathname;
  if (response.status === 200 && /\/api\/(login|refresh|me\/password)$/.test(path)) {
    const schema = { type: "http", scheme: "bearer" };
    const value = response.obj.data.token;
    ui.authActions.authorizeWithPersistOption({ bearer: { name: "bearer", schema, value } });
  } else if (response.status === 204 && /\/api\/(logout|me)$/.test(path)) {
    ui.authActions.logoutWithPersistOption(["bearer"]);
  }
  return response;
}

const ui = SwaggerUIBundle({
  domNode: root,
  url: root.dataset.contract,
  responseInterceptor: follow,
  persistAuthorization: true,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
